// Saves a module with a tensor of every dtype and writes each tensor's bytes beside it, for readers that know nothing
// of muster. Usage: dtype_sample DIRECTORY

#include <fstream>
#include <iostream>
#include <muster/torch.hpp>

namespace {

struct Sample : torch::nn::Module {
  Sample() {
    using torch::ScalarType;
    torch::manual_seed(11);
    for (const auto type : {ScalarType::Double, ScalarType::Float, ScalarType::Half, ScalarType::BFloat16}) {
      add(type, torch::randn({5, 7}, torch::kFloat64).mul(100).to(type));
    }
    for (const auto type : {ScalarType::Char, ScalarType::Short, ScalarType::Int, ScalarType::Long}) {
      add(type, torch::randint(-128, 128, {3, 4, 5}, torch::kInt64).to(type));
    }
    add(ScalarType::Byte, torch::randint(0, 256, {64}, torch::kInt64).to(ScalarType::Byte));
    add(ScalarType::Bool, torch::randint(0, 2, {33}, torch::kInt64).to(ScalarType::Bool));
    add(ScalarType::ComplexFloat, torch::randn({4, 2}, torch::kComplexFloat));
    add(ScalarType::ComplexDouble, torch::randn({4, 2}, torch::kComplexDouble));
    register_buffer("scalar", torch::tensor(2.5));
    register_buffer("empty", torch::empty({0, 3}));
    register_buffer("transposed", torch::arange(12, torch::kFloat32).view({3, 4}).t());
    register_buffer("a/b%c \xc3\xa4", torch::arange(4, torch::kInt32));
  }

  void add(torch::ScalarType type, const torch::Tensor& values) {
    register_buffer(std::string(c10::toString(type)), values);
  }
};

void write_bytes(const std::filesystem::path& file, const torch::Tensor& tensor) {
  const auto dense = tensor.contiguous();
  std::ofstream out(file, std::ios::binary);
  out.write(static_cast<const char*>(dense.data_ptr()), static_cast<std::streamsize>(dense.nbytes()));
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  if (argc != 2) {
    std::cerr << "usage: dtype_sample DIRECTORY\n";
    return 2;
  }
  const std::filesystem::path directory = argv[1];
  auto sample = std::make_shared<Sample>();
  muster::save_checkpoint(MPI_COMM_WORLD, directory,
                          {.tag = "step_7", .model = sample, .user_content = {{"total_steps", 7}, {"x", 0.1}}});
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  if (rank == 0) {
    int index = 0;
    std::ofstream names(directory / "names.txt");
    for (const auto& buffer : sample->named_buffers()) {
      names << buffer.key() << '\n';
      write_bytes(directory / ("tensor_" + std::to_string(index++) + ".bin"), buffer.value());
    }
  }
  MPI_Finalize();
  return 0;
}
