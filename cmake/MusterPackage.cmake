# `cpack -G DEB`: muster (the program, and libmuster.so of a shared build), libmuster-dev (for programs without LibTorch) and
# muster-torch (muster-train, and what programs with LibTorch need beside libmuster-dev).
set(CPACK_PACKAGE_NAME muster)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "The muster authors <muster@localhost>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_GENERATOR DEB)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_COMPONENTS_ALL runtime development)
set(this_version "(= ${PROJECT_VERSION})")

set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME muster)
set(CPACK_COMPONENT_RUNTIME_DESCRIPTION "Looks at checkpoints of MPI training jobs\n muster lists, verifies, compares and prunes checkpoints, one HDF5 file a tag.")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libmuster-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION "Checkpoints of MPI training jobs as HDF5 files: library\n Saves the state of a job that runs on many ranks as one HDF5 file, and loads it on any number of ranks.")
if(HDF5_C_LIBRARIES MATCHES mpich)
  set(mpi_kind mpich)
else()
  set(mpi_kind openmpi)
endif()
set(development_packages lib${mpi_kind}-dev nlohmann-json3-dev)
if(BUILD_SHARED_LIBS)
  list(APPEND development_packages "muster ${this_version}")
else()
  list(APPEND development_packages libhdf5-${mpi_kind}-dev libspdlog-dev libxxhash-dev)
endif()
list(JOIN development_packages ", " CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS)

# A LibTorch that is no package, as a Python wheel, is nothing that a package could depend on.
if(MUSTER_TORCH AND "${LibTorch_LIBRARY_DIR}${TORCH_LIBRARY}" MATCHES "^/usr/lib/")
  list(APPEND CPACK_COMPONENTS_ALL torch)
  set(CPACK_DEBIAN_TORCH_PACKAGE_NAME muster-torch)
  set(CPACK_COMPONENT_TORCH_DESCRIPTION "Checkpoints of MPI training jobs as HDF5 files: LibTorch\n Saves and loads modules, optimizers and schedulers of LibTorch; muster-train trains a small GPT so.")
  set(CPACK_DEBIAN_TORCH_PACKAGE_DEPENDS "libmuster-dev ${this_version}, libtorch-dev")
endif()

# Each package has the licence; so has what `cmake --install` makes.
foreach(component ${CPACK_COMPONENTS_ALL})
  string(TOUPPER ${component} name)
  install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${CPACK_DEBIAN_${name}_PACKAGE_NAME} RENAME copyright
          COMPONENT ${component})
endforeach()
include(CPack)
