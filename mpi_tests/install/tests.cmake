# The installed package, as another project sees it.
add_test(NAME install.core COMMAND ${CMAKE_CURRENT_LIST_DIR}/install_test.sh ${CMAKE_BINARY_DIR} OFF)
set_tests_properties(install.core PROPERTIES LABELS "e2e;install" TIMEOUT 600 PROCESSORS 2)
if(MUSTER_TORCH)
  add_test(NAME install.torch COMMAND ${CMAKE_CURRENT_LIST_DIR}/install_test.sh ${CMAKE_BINARY_DIR} ON)
  set_tests_properties(install.torch PROPERTIES LABELS "e2e;install" TIMEOUT 900 PROCESSORS 2)
endif()
add_test(NAME install.other_mpi COMMAND ${CMAKE_CURRENT_LIST_DIR}/other_mpi_test.sh ${CMAKE_BINARY_DIR})
set_tests_properties(install.other_mpi PROPERTIES LABELS "e2e;install" TIMEOUT 300 PROCESSORS 1)
