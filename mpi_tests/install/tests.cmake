# The installed package, as another project sees it.
add_test(NAME install.core COMMAND ${CMAKE_CURRENT_LIST_DIR}/install_test.sh ${CMAKE_BINARY_DIR} OFF)
set_tests_properties(install.core PROPERTIES LABELS "e2e;install" TIMEOUT 600 PROCESSORS 2)
if(MUSTER_TORCH)
  add_test(NAME install.find_libtorch COMMAND ${CMAKE_CURRENT_LIST_DIR}/find_libtorch_test.sh)
  set_tests_properties(install.find_libtorch PROPERTIES LABELS "e2e;install" TIMEOUT 300)
  add_test(NAME install.torch COMMAND ${CMAKE_CURRENT_LIST_DIR}/install_test.sh ${CMAKE_BINARY_DIR} ON)
  set_tests_properties(install.torch PROPERTIES LABELS "e2e;install" TIMEOUT 900 PROCESSORS 2)
endif()
