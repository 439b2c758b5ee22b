# What can break: injected faults, real ones, ranks that stay away, leaks, kills.
if(NOT MUSTER_FAILPOINTS)
  message(STATUS "MUSTER_FAILPOINTS is off: no fault tests")
  return()
endif()

muster_test_files(fault_tests fault/*_test.cpp)
add_executable(fault_tests ${fault_tests})
target_link_libraries(fault_tests PRIVATE muster_test_support)
muster_compile_as_test(fault_tests)
muster_parallel_test(fault fault_tests phase_fault_test "3")
muster_parallel_test(fault fault_tests async_fault_test "1;2;3")
muster_parallel_test(fault fault_tests disk_fault_test "3")
muster_parallel_test(fault fault_tests deadline_test "2;3")
muster_parallel_test(fault fault_tests leak_test "2")

# As a program that asked MPI for less than MPI_THREAD_MULTIPLE: its own calls commit what is in flight.
muster_mpi_test(fault.async_fault_test.funneled fault 3 env MUSTER_TEST_THREADS=funneled $<TARGET_FILE:fault_tests>
                --file=async_fault_test)
if(MUSTER_SANITIZE)
  return()  # the others run in the other builds
endif()
set_tests_properties(fault.deadline_test.2 fault.deadline_test.3 PROPERTIES PROCESSORS 1)  # they wait for time to pass
foreach(level single funneled serialized)
  muster_mpi_test(fault.async_test.${level} fault 3 env MUSTER_TEST_THREADS=${level} $<TARGET_FILE:parallel_tests>
                  --file=async_test)
endforeach()

# The same under the other MPI-IO that Open MPI has; its name tells a version.
find_program(MUSTER_OMPI_INFO ompi_info)
if(MUSTER_OMPI_INFO)
  execute_process(COMMAND ${MUSTER_OMPI_INFO} --parsable OUTPUT_VARIABLE components ERROR_QUIET)
  if(components MATCHES "mca:io:(romio[0-9]*):")
    muster_mpi_test(fault.disk_fault_test.romio fault 3 env OMPI_MCA_io=${CMAKE_MATCH_1} $<TARGET_FILE:fault_tests>
                    --file=disk_fault_test)
  endif()
endif()

# MPI-IO itself does not get over an interrupted read, so this is for the engine that does not use it.
add_library(interrupted_io MODULE fault/interrupted_io.cpp)
target_link_libraries(interrupted_io PRIVATE muster_flags ${CMAKE_DL_LIBS})
muster_mpi_test(fault.interrupted_io.3 fault 3 env LD_PRELOAD=$<TARGET_FILE:interrupted_io> $<TARGET_FILE:parallel_tests>
                --gtest_filter=*Engines.Direct*:DirectEngine.*)

foreach(file_system ext2 ext4 xfs btrfs tmpfs)
  add_test(NAME fault.file_systems.${file_system}
           COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/fault/file_systems_test.sh ${MUSTER_MPIRUN} $<TARGET_FILE:parallel_tests>
                   $<TARGET_FILE:fault_tests> ${file_system})
  set_tests_properties(fault.file_systems.${file_system} PROPERTIES LABELS fault TIMEOUT 300 PROCESSORS 4
                                                                    SKIP_RETURN_CODE 77)
endforeach()

add_executable(async_exit fault/async_exit.cpp)
target_link_libraries(async_exit PRIVATE muster_core muster_flags)
add_test(NAME fault.async_exit COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/fault/async_exit_test.sh ${MUSTER_MPIRUN}
                                       $<TARGET_FILE:async_exit> $<TARGET_FILE:muster>)
set_tests_properties(fault.async_exit PROPERTIES LABELS fault TIMEOUT 120 PROCESSORS 1)

add_executable(save_loop fault/save_loop.cpp)
target_link_libraries(save_loop PRIVATE muster_core muster_flags)
if(Python3_FOUND)
  # They start one job after the other, and mostly wait for it.
  foreach(mode random points stopped)
    add_test(NAME fault.kill_${mode}
             COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/fault/kill_random.py ${mode}
                     --launcher ${MUSTER_MPIRUN} --program $<TARGET_FILE:save_loop> --muster $<TARGET_FILE:muster>)
    set_tests_properties(fault.kill_${mode} PROPERTIES LABELS fault TIMEOUT 400 PROCESSORS 1 COST 30)
  endforeach()
  foreach(mode random points)
    add_test(NAME fault.kill_async_${mode}
             COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/fault/kill_random.py ${mode} --async
                     --launcher ${MUSTER_MPIRUN} --program $<TARGET_FILE:save_loop> --muster $<TARGET_FILE:muster>)
    set_tests_properties(fault.kill_async_${mode} PROPERTIES LABELS fault TIMEOUT 400 PROCESSORS 1 COST 30)
  endforeach()
  foreach(mode "" --async)
    add_test(NAME fault.fencing_orphan${mode}
             COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/fault/fencing_orphan.py ${mode}
                     --launcher ${MUSTER_MPIRUN} --program $<TARGET_FILE:save_loop> --muster $<TARGET_FILE:muster>)
    set_tests_properties(fault.fencing_orphan${mode} PROPERTIES LABELS fault TIMEOUT 400 PROCESSORS 1 COST 30)
  endforeach()
endif()
