# muster-bench: the whole program on a few bytes. Nothing here depends on how fast anything is.
if(Python3_FOUND)
  add_test(NAME bench.program
           COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/bench_test.py $<TARGET_FILE:muster-bench>
                   ${MUSTER_MPIRUN} ${CMAKE_CURRENT_SOURCE_DIR}/../scripts/plot-bench)
  set_tests_properties(bench.program PROPERTIES LABELS bench TIMEOUT 120 PROCESSORS 4)
endif()
