# What is installed: for find_package(muster) of other projects muster::core, and with COMPONENTS torch also muster::torch;
# muster.pc for those without CMake; completion for bash. Each component is one library of the objects of its folders, shared
# with BUILD_SHARED_LIBS, else static. `muster_libraries` builds them.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/muster)
add_custom_target(muster_libraries)

# muster_component(NAME FILE_NAME COMPONENT modules...): muster::NAME. COMPONENT: of the development files.
function(muster_component name file component)
  set(objects)
  foreach(module ${ARGN})
    list(APPEND objects $<TARGET_OBJECTS:${module}>)
  endforeach()
  add_library(muster_${name}_library ${objects})
  add_library(muster::${name} ALIAS muster_${name}_library)
  add_dependencies(muster_libraries muster_${name}_library)
  # While the version is 0.x each minor version has an interface of its own.
  set_target_properties(
    muster_${name}_library
    PROPERTIES EXPORT_NAME ${name} OUTPUT_NAME ${file} LINKER_LANGUAGE CXX VERSION ${PROJECT_VERSION}
               SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR} INSTALL_RPATH $ORIGIN
               INSTALL_RPATH_USE_LINK_PATH ON)
  target_compile_features(muster_${name}_library INTERFACE cxx_std_20)
  if(NOT MUSTER_SANITIZE)
    target_link_options(muster_${name}_library PRIVATE -Wl,--no-undefined)
  endif()
  set(runtime_component torch)
  if(NOT component STREQUAL torch)
    set(runtime_component runtime)
    target_link_options(muster_${name}_library PRIVATE -Wl,--as-needed)
  endif()
  install(TARGETS muster_${name}_library EXPORT muster_${name}_targets
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT ${component}
          LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT ${runtime_component} NAMELINK_COMPONENT ${component})
endfunction()

get_property(modules GLOBAL PROPERTY MUSTER_MODULES)
list(REMOVE_ITEM modules muster_torch muster_program)
muster_component(core muster development ${modules} muster_failpoints_none)
target_link_libraries(muster_core_library PUBLIC muster_headers MPI::MPI_CXX nlohmann_json::nlohmann_json
                                          PRIVATE muster_hdf5 muster_xxhash spdlog::spdlog Threads::Threads)
set_target_properties(muster_headers PROPERTIES EXPORT_NAME headers)
set_target_properties(muster_hdf5 PROPERTIES EXPORT_NAME hdf5)
set_target_properties(muster_xxhash PROPERTIES EXPORT_NAME xxhash)
install(TARGETS muster_headers EXPORT muster_core_targets)
if(NOT BUILD_SHARED_LIBS)
  install(TARGETS muster_hdf5 muster_xxhash EXPORT muster_core_targets)
endif()
install(EXPORT muster_core_targets FILE musterCoreTargets.cmake NAMESPACE muster:: DESTINATION ${package_dir}
        COMPONENT development)
install(DIRECTORY include/muster DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development
        PATTERN "*torch*.hpp" EXCLUDE PATTERN "torch" EXCLUDE)

if(MUSTER_TORCH)
  muster_component(torch muster-torch torch muster_torch)
  target_link_libraries(muster_torch_library PUBLIC muster_core_library muster_libtorch PRIVATE spdlog::spdlog)
  set_target_properties(muster_libtorch PROPERTIES EXPORT_NAME libtorch)
  install(TARGETS muster_libtorch EXPORT muster_torch_targets)
  install(EXPORT muster_torch_targets FILE musterTorchTargets.cmake NAMESPACE muster:: DESTINATION ${package_dir}
          COMPONENT torch)
  install(FILES cmake/FindLibTorch.cmake DESTINATION ${package_dir} COMPONENT torch)
  install(FILES include/muster/libtorch_version.hpp include/muster/torch.hpp
          DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/muster COMPONENT torch)
  install(DIRECTORY include/muster/torch DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/muster COMPONENT torch)
endif()

configure_package_config_file(cmake/musterConfig.cmake.in ${CMAKE_BINARY_DIR}/musterConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/musterConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/musterConfig.cmake ${CMAKE_BINARY_DIR}/musterConfigVersion.cmake
              cmake/musterMpi.cmake
        DESTINATION ${package_dir} COMPONENT development)

# pkg-config: what a static library needs is linked with it; of a shared one nothing else is.
set(pkg_config_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH pkg_config_to_prefix /prefix/${pkg_config_dir} /prefix)
string(REGEX REPLACE "/$" "" pkg_config_to_prefix ${pkg_config_to_prefix})
set(pkg_config_requires nlohmann_json)
set(pkg_config_libs -lmuster)
if(NOT BUILD_SHARED_LIBS)
  list(APPEND pkg_config_requires spdlog)
  if(MUSTER_XXHASH_DISPATCHES)
    list(APPEND pkg_config_requires libxxhash)
  endif()
  # A shared HDF5 names the libraries that it needs itself.
  set(hdf5_libraries ${HDF5_C_LIBRARIES})
  if(hdf5_libraries MATCHES "hdf5[^/;]*\\.so")
    list(FILTER hdf5_libraries INCLUDE REGEX "hdf5[^/;]*\\.so")
  endif()
  list(APPEND pkg_config_libs ${hdf5_libraries} -pthread)
endif()
string(REPLACE ";" " " pkg_config_requires "${pkg_config_requires}")
string(REPLACE ";" " " pkg_config_libs "${pkg_config_libs}")
configure_file(cmake/muster.pc.in ${CMAKE_BINARY_DIR}/muster.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/muster.pc DESTINATION ${pkg_config_dir} COMPONENT development)

install(FILES scripts/completion.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME muster
        COMPONENT runtime)
