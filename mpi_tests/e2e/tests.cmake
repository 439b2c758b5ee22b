# Whole programs, as a user runs them.
function(muster_e2e_test name)
  add_test(NAME e2e.${name} COMMAND ${ARGN})
  set_tests_properties(e2e.${name} PROPERTIES LABELS e2e TIMEOUT 300 PROCESSORS 4)
endfunction()

# The distribution's own interpreter: that is where python3-h5py lives.
find_program(MUSTER_SYSTEM_PYTHON NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH REQUIRED)

add_executable(make_checkpoints e2e/make_checkpoints.cpp)
target_link_libraries(make_checkpoints PRIVATE muster_core muster_flags)
add_executable(grid_load e2e/grid_load.cpp)
target_link_libraries(grid_load PRIVATE muster_core muster_flags)
muster_e2e_test(cli ${MUSTER_SYSTEM_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/cli_test.py ${CMAKE_BINARY_DIR}/bin ${MUSTER_MPIRUN})
if(MUSTER_FAILPOINTS)
  set_property(TEST e2e.cli APPEND PROPERTY ENVIRONMENT "MUSTER_TEST_FAILPOINTS=1")
endif()

# Every dtype, and what readers that know nothing of muster make of it.
add_executable(dtypes_sample e2e/dtypes_sample.cpp)
target_link_libraries(dtypes_sample PRIVATE muster_core muster_hdf5 muster_flags)
muster_e2e_test(dtypes ${MUSTER_SYSTEM_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/dtypes_test.py ${CMAKE_BINARY_DIR}/bin
                ${MUSTER_MPIRUN} ${PROJECT_SOURCE_DIR}/docs/reference/float8.md ${CMAKE_CURRENT_LIST_DIR}/dtypes_2_ranks.h5)

# What muster-train of commit ac89d44 saved: muster-train --text LICENSE --tp 2 --steps 3 --batch 2 --context 8 --layers 1
# --width 8 --heads 2 --lr-step 2 --seed 5, on 2 ranks.
add_executable(copy_checkpoint e2e/copy_checkpoint.cpp)
target_link_libraries(copy_checkpoint PRIVATE muster_core muster_flags)
muster_e2e_test(stored ${MUSTER_SYSTEM_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/stored_test.py ${CMAKE_BINARY_DIR}/bin
                ${MUSTER_MPIRUN} ${CMAKE_CURRENT_LIST_DIR}/trained_2_ranks.h5 ${PROJECT_SOURCE_DIR}/LICENSE)

# The figures of docs/guide/sharding.md show what such files say now.
add_executable(sharding_sample e2e/sharding_sample.cpp)
target_link_libraries(sharding_sample PRIVATE muster_core muster_flags)
muster_e2e_test(draw_sharding ${MUSTER_SYSTEM_PYTHON} ${PROJECT_SOURCE_DIR}/scripts/draw-sharding --check
                --program $<TARGET_FILE:sharding_sample>)

# The programs of examples/, killed and started again.
set(examples stencil)
if(MUSTER_TORCH)
  foreach(name minimal sharded policy gan agent scripted custom_optimizer)
    list(APPEND examples ${name})
    target_compile_definitions(${name} PRIVATE $<TARGET_PROPERTY:muster_flags,INTERFACE_COMPILE_DEFINITIONS>)
    muster_reuse_headers(${name} muster_torch)
  endforeach()
endif()
foreach(name ${examples})
  muster_e2e_test(example.${name} ${MUSTER_SYSTEM_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/example_test.py $<TARGET_FILE:${name}>
                  ${MUSTER_MPIRUN})
endforeach()

# What pages show of C++ is compiled, here or as an example.
muster_e2e_test(docs_example ${MUSTER_SYSTEM_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/docs_example.py ${PROJECT_SOURCE_DIR}
                examples/minimal.cpp examples/sharded.cpp examples/policy.cpp examples/stencil.cpp examples/gan.cpp
                examples/agent.cpp examples/scripted.cpp examples/custom_optimizer.cpp
                mpi_tests/e2e/docs_fragments.cpp mpi_tests/parallel/torch_experts_test.cpp
                mpi_tests/parallel/torch_custom_optimizer_test.cpp)
if(MUSTER_TORCH)
  add_executable(docs_fragments e2e/docs_fragments.cpp)
  target_link_libraries(docs_fragments PRIVATE muster_torch muster_flags)
  muster_reuse_headers(docs_fragments muster_torch)
  muster_e2e_test(docs_fragments ${MUSTER_MPIRUN} -n 2 $<TARGET_FILE:docs_fragments>)
  file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/docs_fragments)
  set_tests_properties(e2e.docs_fragments PROPERTIES WORKING_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/docs_fragments)
endif()

if(MUSTER_TORCH)
  add_executable(dtype_sample e2e/dtype_sample.cpp)
  target_link_libraries(dtype_sample PRIVATE muster_torch muster_flags)
  muster_reuse_headers(dtype_sample muster_torch)
  muster_e2e_test(tools ${CMAKE_CURRENT_LIST_DIR}/tools_test.sh $<TARGET_FILE:dtype_sample> ${MUSTER_SYSTEM_PYTHON})
  foreach(optimizer adamw sgd)
    muster_e2e_test(train_resume_${optimizer} ${CMAKE_CURRENT_LIST_DIR}/train_resume_test.sh ${CMAKE_BINARY_DIR}/bin
                    ${optimizer})
  endforeach()
  muster_e2e_test(train_grids ${CMAKE_CURRENT_LIST_DIR}/train_grids_test.sh ${CMAKE_BINARY_DIR}/bin)
  foreach(weights float32.0 float32.1 bf16)
    muster_e2e_test(train_regrid.${weights} ${CMAKE_CURRENT_LIST_DIR}/train_regrid_test.sh ${CMAKE_BINARY_DIR}/bin ${weights})
  endforeach()
  set_tests_properties(e2e.train_regrid.float32.0 e2e.train_regrid.float32.1 PROPERTIES TIMEOUT 600 COST 100)  # 12 runs each, or 13
  muster_e2e_test(train_samples ${CMAKE_CURRENT_LIST_DIR}/train_samples_test.sh ${CMAKE_BINARY_DIR}/bin)
  muster_e2e_test(train_blas ${CMAKE_CURRENT_LIST_DIR}/train_blas_test.sh ${CMAKE_BINARY_DIR}/bin)
  muster_e2e_test(train_async ${CMAKE_CURRENT_LIST_DIR}/train_async_test.sh ${CMAKE_BINARY_DIR}/bin)
endif()
