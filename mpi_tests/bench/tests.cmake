# muster-bench: its pure parts, and the whole program on a few bytes. Nothing here depends on how fast anything is.
set(bench_sources ${CMAKE_CURRENT_SOURCE_DIR}/../src/bench)
target_sources(workload_test PRIVATE ${bench_sources}/workload.cpp ${bench_sources}/workload_json.cpp
                                     ${bench_sources}/byte_size.cpp ${bench_sources}/held_tensors.cpp)
target_sources(bench_statistics_test PRIVATE ${bench_sources}/statistics.cpp)

if(Python3_FOUND)
  add_test(NAME bench.program
           COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/bench_test.py $<TARGET_FILE:muster-bench>
                   ${MUSTER_MPIRUN} ${CMAKE_CURRENT_SOURCE_DIR}/../scripts/plot-bench)
  set_tests_properties(bench.program PROPERTIES LABELS bench TIMEOUT 120 PROCESSORS 2)
endif()
