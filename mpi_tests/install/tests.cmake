# The installed package, as another project sees it.
function(muster_install_test name)
  add_test(NAME install.${name} COMMAND ${ARGN})
  set_tests_properties(install.${name} PROPERTIES LABELS "e2e;install" TIMEOUT 900 PROCESSORS 2)
endfunction()

if(NOT BUILD_SHARED_LIBS)
  muster_install_test(static ${CMAKE_CURRENT_LIST_DIR}/install_test.sh ${CMAKE_BINARY_DIR} ${MUSTER_TORCH})
endif()
muster_install_test(shared ${CMAKE_CURRENT_LIST_DIR}/install_test.sh ${CMAKE_BINARY_DIR} SHARED)
muster_install_test(completion ${CMAKE_CURRENT_LIST_DIR}/completion_test.sh $<TARGET_FILE_DIR:muster>
                    ${PROJECT_SOURCE_DIR}/scripts/completion.bash)
find_program(MUSTER_DPKG_SHLIBDEPS dpkg-shlibdeps)
find_program(MUSTER_FILE file)
if(MUSTER_DPKG_SHLIBDEPS AND MUSTER_FILE AND NOT BUILD_SHARED_LIBS)
  muster_install_test(deb ${CMAKE_CURRENT_LIST_DIR}/deb_test.sh ${CMAKE_BINARY_DIR})
endif()
