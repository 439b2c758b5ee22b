// Reading files of any content: what was saved, or an error; never a crash, never a damaged head taken for a sound one.

#include "h5/catalog_reader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hdf5.h>

#include <algorithm>
#include <map>

#include "base/hash.hpp"
#include "h5/table_rows.hpp"
#include "model/catalog_bytes.hpp"
#include "store/verify.hpp"
#include "support/expect_error.hpp"
#include "support/files.hpp"
#include "support/sample.hpp"
#include "support/sanitized.hpp"

namespace muster::catalog_reader_test {
namespace {

using test::error_of;
using test::pick;
using test::Random;
using testing::HasSubstr;

class CatalogReader : public testing::Test {
 protected:
  // Reading this file must fail as damage does.
  static void expect_refused(const std::filesystem::path& file, const std::string& what) {
    try {
      h5::read_catalog(file);
      ADD_FAILURE() << "accepted: " << what;
    } catch (const Error& error) {
      EXPECT_TRUE(error.kind() == ErrorKind::corrupt || error.kind() == ErrorKind::io) << what << ": " << error.what();
      EXPECT_THAT(error.what(), HasSubstr(file.string())) << what;
    }
    EXPECT_THROW(h5::read_run(file), Error) << what;
  }

  test::TempDir directory_;
  Layout layout_ = test::write_sample(directory_.path(), {});
  std::filesystem::path file_ = directory_.path() / "step_1.h5";
  std::uint64_t described_ = layout_.head_bytes + layout_.tables_bytes;
};

TEST_F(CatalogReader, FindsWhatWasSaved) {
  const auto catalog = h5::read_catalog(file_);
  EXPECT_EQ(catalog.run.tag, "step_1");
  EXPECT_EQ(catalog.run.step, 1);
  EXPECT_EQ(catalog.run.sequence, 1U);
  EXPECT_EQ(catalog.run.world_size, 3);
  EXPECT_EQ(catalog.world_size, 3);
  EXPECT_EQ(catalog.payload_bytes, layout_.payload_bytes);
  EXPECT_EQ(catalog.file_bytes, layout_.file_bytes);
  EXPECT_EQ(catalog.head_bytes, layout_.head_bytes);
  EXPECT_EQ(catalog.tables_bytes, layout_.tables_bytes);
  EXPECT_EQ(catalog.telemetry.size(), 3U);
  ASSERT_EQ(catalog.documents.size(), 2U);
  EXPECT_EQ(catalog.documents.at("/scheduler"), R"({"last_epoch":3})");
  ASSERT_EQ(catalog.tables.size(), layout_.tables.size());
  for (std::size_t i = 0; i < catalog.tables.size(); ++i) {
    EXPECT_EQ(catalog.tables[i].path, layout_.tables[i].path);
    EXPECT_EQ(catalog.tables[i].kind, layout_.tables[i].kind);
    EXPECT_EQ(catalog.tables[i].rows, layout_.tables[i].rows);
    EXPECT_EQ(catalog.tables[i].offset, layout_.tables[i].offset);
    EXPECT_EQ(catalog.tables[i].bytes, layout_.tables[i].bytes);
  }
  std::map<std::string, StoredTensor> by_path;
  for (const auto& tensor : catalog.tensors) by_path[tensor.path] = tensor;
  const auto expected = test::Sample::default_tensors();
  ASSERT_EQ(by_path.size(), expected.size());
  for (const auto& tensor : expected) {
    ASSERT_TRUE(by_path.contains(tensor.path));
    EXPECT_EQ(by_path[tensor.path].dtype, tensor.dtype);
    EXPECT_EQ(by_path[tensor.path].shape, tensor.shape);
  }
  ASSERT_EQ(catalog.extents.size(), layout_.extents.size());
  for (std::size_t i = 0; i < catalog.extents.size(); ++i) {
    EXPECT_EQ(catalog.extents[i].offset, layout_.extents[i].offset);
    EXPECT_EQ(catalog.extents[i].bytes, layout_.extents[i].bytes);
    EXPECT_EQ(catalog.extents[i].writer, layout_.extents[i].writer);
  }
  EXPECT_EQ(h5::read_run(file_).sequence, 1U);
  EXPECT_TRUE(store::verify(file_, catalog, {}).damages.empty());
}

TEST_F(CatalogReader, PackedCatalogComesBackEqual) {
  const auto catalog = h5::read_catalog(file_);
  const auto again = unpack_catalog(pack(catalog));
  EXPECT_EQ(pack(again), pack(catalog));
  EXPECT_EQ(again.tensors.size(), catalog.tensors.size());
  EXPECT_EQ(again.hashes, catalog.hashes);
  EXPECT_EQ(again.run.step, catalog.run.step);
}

TEST_F(CatalogReader, RefusesAnyByteOfHeadAndTablesChanged) {
  Random random(1);
  constexpr std::uint64_t kStep = test::kSanitized ? 11 : 1;
  for (std::uint64_t offset = 0; offset < described_; offset += kStep) {
    const auto mask = static_cast<std::uint8_t>(pick(random, 1, 255));
    test::flip(file_, offset, mask);
    expect_refused(file_, "byte " + std::to_string(offset) + " changed by " + std::to_string(mask));
    test::flip(file_, offset, mask);
    if (HasFailure()) return;
  }
  EXPECT_NO_THROW(h5::read_catalog(file_));
}

// Tables whose hash is right, but whose rows do not cover every tensor from its first byte to its last.
TEST_F(CatalogReader, RefusesExtentsThatDoNotCoverTheTensors) {
  const auto sound = test::read_file(file_);
  const auto first_row = layout_.find_table(kIntegrityPath)->offset;
  const auto place_of = [&](std::size_t row) { return sound.data() + first_row + row * kIntegrityRowBytes; };
  // Writes the file with this row instead; the error of reading it.
  const auto error_with = [&](std::size_t row, const h5::IntegrityRow& changed) {
    auto bytes = sound;
    const auto put = [&](std::size_t at, const h5::IntegrityRow& value) {
      std::memcpy(bytes.data() + first_row + at * kIntegrityRowBytes, &value, sizeof(value));
    };
    h5::IntegrityRow of_tables;
    std::memcpy(&of_tables, place_of(1), sizeof(of_tables));
    of_tables.hash = 0;
    put(1, of_tables);
    put(row, changed);
    of_tables.hash = hash_bytes(std::span(bytes).subspan(layout_.head_bytes, layout_.tables_bytes));
    put(1, of_tables);
    test::write_file(file_, bytes);
    return error_of(ErrorKind::corrupt, [&] { h5::read_catalog(file_); });
  };
  for (std::size_t i = 0; i < layout_.extents.size(); ++i) {
    SCOPED_TRACE(i);
    const auto row = kIntegrityLeadRows + i;
    h5::IntegrityRow saved;
    std::memcpy(&saved, place_of(row), sizeof(saved));
    const bool is_last_of_tensor =
        i + 1 == layout_.extents.size() || layout_.extents[i + 1].tensor != layout_.extents[i].tensor;
    const auto& path = layout_.tensors[layout_.extents[i].tensor].path;
    auto changed = saved;
    if (saved.bytes > 1) {
      --changed.bytes;
      EXPECT_THAT(error_with(row, changed),
                  HasSubstr(is_last_of_tensor ? "/integrity covers " : "does not fit " + path));
    }
    changed = saved;
    ++changed.bytes;
    EXPECT_THAT(error_with(row, changed), HasSubstr("does not fit " + path));
    changed = saved;
    ++changed.dataset;
    EXPECT_THAT(error_with(row, changed), HasSubstr("names no tensor"));
    if (HasFailure()) return;
  }
  test::write_file(file_, sound);
  EXPECT_NO_THROW(h5::read_catalog(file_));
}

TEST_F(CatalogReader, RefusesManyBytesChangedAtOnce) {
  Random random(2);
  const auto sound = test::read_file(file_);
  for (int i = 0; i < 400; ++i) {
    auto bytes = sound;
    const auto first = pick(random, 0, described_ - 1);
    const auto count = pick(random, 1, std::min<std::uint64_t>(described_ - first, 200));
    for (auto at = first; at < first + count; ++at) bytes[at] = static_cast<std::byte>(random());
    bytes[first] = ~sound[first];
    test::write_file(file_, bytes);
    expect_refused(file_, std::to_string(count) + " bytes at " + std::to_string(first));
    if (HasFailure()) return;
  }
}

TEST_F(CatalogReader, RefusesAZeroedPage) {
  const auto sound = test::read_file(file_);
  for (std::uint64_t first = 0; first < described_; first += 512) {
    auto bytes = sound;
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(first), 512, std::byte{0});
    if (bytes == sound) continue;
    test::write_file(file_, bytes);
    expect_refused(file_, "zeros at " + std::to_string(first));
  }
}

TEST_F(CatalogReader, RefusesATruncatedFile) {
  Random random(3);
  const auto sound = test::read_file(file_);
  std::vector<std::uint64_t> lengths = {0, 1, 7, 8, 48, 511, layout_.head_bytes, described_, layout_.file_bytes - 1};
  for (int i = 0; i < 300; ++i) lengths.push_back(pick(random, 0, layout_.file_bytes - 1));
  for (const auto length : lengths) {
    test::write_file(file_, {sound.begin(), sound.begin() + static_cast<std::ptrdiff_t>(length)});
    expect_refused(file_, "cut to " + std::to_string(length));
  }
}

TEST_F(CatalogReader, RefusesAnAppendedByte) {
  auto bytes = test::read_file(file_);
  for (const std::size_t more : {1U, 2U, 511U, 4096U}) {
    bytes.resize(layout_.file_bytes + more);
    test::write_file(file_, bytes);
    expect_refused(file_, std::to_string(more) + " bytes appended");
  }
}

TEST_F(CatalogReader, RefusesBytesInFrontOfTheFile) {
  // HDF5 itself would find its superblock behind a user block of 512 bytes.
  const auto sound = test::read_file(file_);
  std::vector<std::byte> bytes(512 + sound.size());
  std::copy(sound.begin(), sound.end(), bytes.begin() + 512);
  test::write_file(file_, bytes);
  expect_refused(file_, "512 bytes in front");
}

TEST_F(CatalogReader, RefusesGarbage) {
  Random random(4);
  const auto sound = test::read_file(file_);
  for (int i = 0; i < 300; ++i) {
    std::vector<std::byte> bytes(pick(random, 0, 20000));
    for (auto& byte : bytes) byte = static_cast<std::byte>(random());
    // Some begin like an HDF5 file.
    const auto like = std::min<std::size_t>(bytes.size(), pick(random, 0, 3) * 24);
    std::copy_n(sound.begin(), like, bytes.begin());
    test::write_file(file_, bytes);
    expect_refused(file_, "garbage " + std::to_string(i));
  }
}

TEST_F(CatalogReader, SaysThatAFileIsNotThere) {
  EXPECT_THAT(error_of(ErrorKind::not_found, [&] { h5::read_catalog(directory_.path() / "none.h5"); }),
              HasSubstr("none.h5"));
}

TEST_F(CatalogReader, RefusesADirectory) {
  std::filesystem::create_directory(directory_.path() / "dir.h5");
  expect_refused(directory_.path() / "dir.h5", "a directory");
}

TEST_F(CatalogReader, RefusesAnHdf5FileThatMusterDidNotWrite) {
  const auto file = directory_.path() / "foreign.h5";
  H5Fclose(H5Fcreate(file.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT));
  expect_refused(file, "an empty HDF5 file");
}

TEST_F(CatalogReader, VerifyFindsAnyPayloadByteThatChanged) {
  const auto catalog = h5::read_catalog(file_);
  Random random(5);
  constexpr int kTries = test::kSanitized ? 50 : 500;
  for (int i = 0; i < kTries; ++i) {
    const auto offset = pick(random, described_, layout_.file_bytes - 1);
    test::flip(file_, offset);
    const auto result = store::verify(file_, catalog, {});
    test::flip(file_, offset);
    ASSERT_EQ(result.damages.size(), 1U) << offset;
    const auto& damage = result.damages.front();
    EXPECT_LE(damage.offset, offset);
    EXPECT_GT(damage.end(), offset);
    const auto tensor = std::ranges::find(layout_.tensors, damage.tensor, &StoredTensor::path);
    if (damage.tensor.empty()) {
      EXPECT_EQ(damage.writer, -1);
    } else {
      ASSERT_NE(tensor, layout_.tensors.end());
      EXPECT_EQ(tensor->offset + damage.in_tensor, damage.offset);
      EXPECT_GE(damage.writer, 0);
    }
  }
  EXPECT_TRUE(store::verify(file_, catalog, {}).damages.empty());
}

TEST_F(CatalogReader, VerifySharesTheWorkOut) {
  const auto catalog = h5::read_catalog(file_);
  const auto all = store::verify(file_, catalog, {}).bytes;
  std::uint64_t shared = 0;
  for (int i = 0; i < 3; ++i) shared += store::verify(file_, catalog, {i, 3}).bytes;
  EXPECT_EQ(shared, all);
  EXPECT_EQ(all, layout_.file_bytes - described_);
}

}  // namespace
}  // namespace muster::catalog_reader_test
