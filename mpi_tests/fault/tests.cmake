# What can break: injected faults, real ones, ranks that stay away, leaks, kills.
if(NOT MUSTER_FAILPOINTS)
  message(STATUS "MUSTER_FAILPOINTS is off: no fault tests")
  return()
endif()

muster_parallel_test(fault phase_fault_test "3")
muster_parallel_test(fault disk_fault_test "3")
muster_parallel_test(fault deadline_test "2;3")
muster_parallel_test(fault leak_test "2")

add_executable(save_loop fault/save_loop.cpp)
target_link_libraries(save_loop PRIVATE muster_core muster_flags)
if(Python3_FOUND)
  foreach(mode random points stopped)
    add_test(NAME fault.kill_${mode}
             COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/fault/kill_random.py ${mode}
                     --launcher ${MUSTER_MPIRUN} --program $<TARGET_FILE:save_loop> --muster $<TARGET_FILE:muster>)
    set_tests_properties(fault.kill_${mode} PROPERTIES LABELS fault TIMEOUT 400 PROCESSORS 2)
  endforeach()
endif()
