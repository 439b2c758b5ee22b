# How a module (a folder of src/) and a program become targets, all under the same warnings.

add_library(muster_headers INTERFACE)  # the public headers
target_include_directories(muster_headers INTERFACE $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include>
                                                $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

add_library(muster_flags INTERFACE)  # how muster's own sources are compiled
target_compile_options(muster_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion
                                              -Wnon-virtual-dtor -Woverloaded-virtual)
target_compile_definitions(muster_flags INTERFACE OMPI_SKIP_MPICXX MPICH_SKIP_MPICXX _GLIBCXX_ASSERTIONS)
# GCC 12 warns of an overlap that cannot be when std::string grows by a literal (GCC bug 105651).
target_compile_options(muster_flags INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)
if(MUSTER_WERROR)
  target_compile_options(muster_flags INTERFACE -Werror)
endif()
if(MUSTER_SANITIZE)
  add_compile_options(-fsanitize=${MUSTER_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=${MUSTER_SANITIZE})
endif()

# muster_module(NAME PUBLIC targets... PRIVATE targets...): the static library of src/NAME.
function(muster_module module)
  cmake_parse_arguments(ARG "" "" "PUBLIC;PRIVATE" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/src/${module}/*.cpp)
  add_library(muster_${module} STATIC ${sources})
  target_include_directories(muster_${module} PUBLIC $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/src>)
  target_link_libraries(muster_${module} PUBLIC ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE} $<BUILD_INTERFACE:muster_flags>)
  set_property(GLOBAL APPEND PROPERTY MUSTER_MODULES muster_${module})
endfunction()

# Fault points are two small libraries, of which one is linked: no other object of a build with them differs from one
# without, and what is installed never has them.
foreach(kind none armed)
  add_library(muster_failpoints_${kind} STATIC EXCLUDE_FROM_ALL src/base/failpoint/${kind}.cpp)
  target_include_directories(muster_failpoints_${kind} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/src)
  target_link_libraries(muster_failpoints_${kind} PRIVATE muster_headers muster_flags)
endforeach()

# muster_link_failpoints(TARGET): gives what links TARGET its fault points, unless its property MUSTER_INSTALLED is set.
function(muster_link_failpoints target)
  if(MUSTER_FAILPOINTS)
    set(installed $<BOOL:$<TARGET_PROPERTY:MUSTER_INSTALLED>>)
    target_link_libraries(${target} INTERFACE $<IF:${installed},muster_failpoints_none,muster_failpoints_armed>)
  else()
    target_link_libraries(${target} INTERFACE muster_failpoints_none)
  endif()
endfunction()

# muster_program(NAME COMPONENT FOLDER targets...): an executable from all sources of a folder. In a build with fault points
# it is linked a second time, without them, to be installed. One that was not built is not installed.
function(muster_program program component folder)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*.cpp)
  add_executable(${program} ${sources})
  target_link_libraries(${program} PRIVATE ${ARGN} muster_flags)
  set(installed ${program})
  if(MUSTER_FAILPOINTS)
    set(installed ${program}_installed)
    add_executable(${installed} $<TARGET_OBJECTS:${program}>)
    target_link_libraries(${installed} PRIVATE ${ARGN})
    set_target_properties(${installed} PROPERTIES OUTPUT_NAME ${program} LINKER_LANGUAGE CXX MUSTER_INSTALLED ON
                                                  RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/installed)
  endif()
  # The folder of LibTorch, and of other libraries that no loader knows, is found by a program where it is installed.
  set_target_properties(${installed} PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
  if(NOT component STREQUAL torch)  # LibTorch has libraries that only register something
    target_link_options(${installed} PRIVATE -Wl,--as-needed)
  endif()
  install(TARGETS ${installed} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT ${component} OPTIONAL)
endfunction()

# muster_reuse_headers(TARGET FROM): compiles an executable, or a library for tests, with the precompiled headers of FROM.
# GCC takes them only for code of the same kind: that of a library.
function(muster_reuse_headers target from)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${target} PRIVATE -fPIC)
  target_precompile_headers(${target} REUSE_FROM ${from})
endfunction()
