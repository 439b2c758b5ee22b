# find_package(muster) for other projects: muster::core, and with COMPONENTS torch also muster::torch.
include(CMakePackageConfigHelpers)

get_property(rooms GLOBAL PROPERTY MUSTER_ROOMS)
set(core_targets muster_api muster_core muster_hdf5 muster_xxhash)
foreach(target ${rooms})
  string(REPLACE muster_ "" room ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${room})
  if(NOT target STREQUAL muster_torch)
    list(APPEND core_targets ${target})
  endif()
endforeach()
set_target_properties(muster_api PROPERTIES EXPORT_NAME api)
set_target_properties(muster_hdf5 PROPERTIES EXPORT_NAME hdf5)
set_target_properties(muster_xxhash PROPERTIES EXPORT_NAME xxhash)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/muster)
install(TARGETS ${core_targets} EXPORT musterCoreTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT musterCoreTargets NAMESPACE muster:: DESTINATION ${package_dir})
if(MUSTER_TORCH)
  set_target_properties(muster_libtorch PROPERTIES EXPORT_NAME libtorch)
  install(TARGETS muster_torch muster_libtorch EXPORT musterTorchTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT musterTorchTargets NAMESPACE muster:: DESTINATION ${package_dir})
endif()

install(DIRECTORY include/muster DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} PATTERN torch.hpp EXCLUDE)
if(MUSTER_TORCH)
  install(FILES include/muster/torch.hpp DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/muster)
endif()
configure_package_config_file(cmake/musterConfig.cmake.in ${CMAKE_BINARY_DIR}/musterConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/musterConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/musterConfig.cmake ${CMAKE_BINARY_DIR}/musterConfigVersion.cmake
              cmake/musterMpi.cmake
        DESTINATION ${package_dir})
