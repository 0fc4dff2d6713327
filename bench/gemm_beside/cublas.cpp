#include "gemm_beside/cublas.hpp"

#include <dlfcn.h>
#include <fmt/format.h>
#include <glob.h>

#include <array>
#include <filesystem>
#include <vector>

#include "kvferry/error.hpp"

namespace gemm_beside {
namespace {

using kvferry::Error, kvferry::ErrorCode;

// cublas_api.h.
constexpr int kSuccess = 0, kNoTranspose = 0, kCompute32F = 68, kDefaultAlgorithm = -1;

constexpr std::array kSonames = {"libcublas.so.13", "libcublas.so.12"};
// Of NVIDIA's wheels, below a folder of Python packages: CUDA 13's and 12's.
constexpr std::array kWheelFolders = {"nvidia/cu13/lib", "nvidia/cublas/lib"};
constexpr std::array kPythonFolders = {
    "/usr/local/lib/python3*/dist-packages",    "/usr/local/lib/python3*/site-packages",
    "/usr/lib/python3/dist-packages",           "/usr/lib/python3*/site-packages",
    "/opt/*/lib/python3*/site-packages",        "/root/.local/lib/python3*/site-packages",
    "/home/*/.local/lib/python3*/site-packages"};
constexpr std::array kCudaFolders = {"/usr/local/cuda/lib64", "/usr/local/cuda-*/lib64",
                                     "/usr/local/cuda-*/lib", "/usr/lib/x86_64-linux-gnu",
                                     "/usr/lib/aarch64-linux-gnu"};

void add_matches(const std::string& pattern, std::vector<std::string>& files) {
  glob_t found{};
  if (::glob(pattern.c_str(), 0, nullptr, &found) == 0) {
    files.insert(files.end(), found.gl_pathv, found.gl_pathv + found.gl_pathc);
  }
  ::globfree(&found);
}

std::vector<std::string> candidates(const std::string& python_packages) {
  std::vector<std::string> files;
  const auto add_wheels = [&](const std::string& packages) {
    for (const char* folder : kWheelFolders) {
      for (const char* name : kSonames) {
        add_matches(fmt::format("{}/{}/{}", packages, folder, name), files);
      }
    }
  };
  if (!python_packages.empty()) add_wheels(python_packages);
  files.insert(files.end(), kSonames.begin(), kSonames.end());
  for (const char* folder : kPythonFolders) add_wheels(folder);
  for (const char* name : kSonames) {
    for (const char* folder : kCudaFolders) add_matches(fmt::format("{}/{}", folder, name), files);
  }
  return files;
}

std::string loader_error() {
  const char* text = ::dlerror();
  return text == nullptr ? "unknown" : text;
}

// libcublas needs the libcublasLt of its own version, which lies beside it: loaded first, it is
// found whatever the folder's search path says.
void load_sibling(const std::string& file) {
  const std::filesystem::path path(file);
  std::string name = path.filename().string();
  const std::size_t dot = name.find(".so");
  if (!path.has_parent_path() || dot == std::string::npos) return;
  const auto sibling = path.parent_path() / name.insert(dot, "Lt");
  ::dlopen(sibling.c_str(),
           RTLD_NOW | RTLD_GLOBAL);  // failing, libcublas itself says what is wrong
}

template <typename F>
bool find(void* library, const char* name, F& function) {
  function = reinterpret_cast<F>(::dlsym(library, name));
  return function != nullptr;
}

}  // namespace

bool Cublas::open(const std::string& file, std::string& why) {
  load_sibling(file);
  void* library = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    why = loader_error();
    return false;
  }
  const bool all = find(library, "cublasCreate_v2", create_) &&
                   find(library, "cublasDestroy_v2", destroy_) &&
                   find(library, "cublasGetVersion_v2", get_version_) &&
                   find(library, "cublasSetStream_v2", set_stream_) &&
                   find(library, "cublasSetWorkspace_v2", set_workspace_) &&
                   find(library, "cublasGetStatusString", status_string_) &&
                   find(library, "cublasGemmEx", gemm_ex_);
  if (!all) {
    why = fmt::format("{}: {}", file, loader_error());
    return false;
  }
  Dl_info info{};
  const bool told = ::dladdr(reinterpret_cast<void*>(gemm_ex_), &info) != 0;
  file_ = told && info.dli_fname != nullptr ? info.dli_fname : file;
  return true;
}

Cublas Cublas::load(const std::string& path, const std::string& python_packages) {
  Cublas cublas;
  std::string tried;
  const auto files = path.empty() ? candidates(python_packages) : std::vector{path};
  for (const std::string& file : files) {
    std::string why;
    if (cublas.open(file, why)) return cublas;
    tried += "\n  " + why;
  }
  throw Error(ErrorCode::resource,
              "no cuBLAS can be loaded; give its file with --cublas, or a folder of Python "
              "packages with --python-packages. Tried:" +
                  tried);
}

void Cublas::check(int status, const char* what) const {
  if (status == kSuccess) return;
  throw Error(ErrorCode::resource,
              fmt::format("cuBLAS ({}): {}: {} ({})", file_, what, status_string_(status), status));
}

Cublas::Handle Cublas::create(cudaStream_t stream, void* workspace,
                              std::size_t workspace_bytes) const {
  Handle handle = nullptr;
  check(create_(&handle), "cublasCreate");
  try {
    // In this order: setting the stream puts the workspace back to the default one.
    check(set_stream_(handle, stream), "cublasSetStream");
    check(set_workspace_(handle, workspace, workspace_bytes), "cublasSetWorkspace");
  } catch (...) {
    destroy_(handle);
    throw;
  }
  return handle;
}

std::string Cublas::version(Handle handle) const {
  int number = 0;
  check(get_version_(handle, &number), "cublasGetVersion");
  return fmt::format("{}.{}.{}", number / 10000, number / 100 % 100, number % 100);
}

void Cublas::multiply(Handle handle, int size, const void* a, const void* b, void* c) const {
  const float one = 1, zero = 0;
  check(gemm_ex_(handle, kNoTranspose, kNoTranspose, size, size, size, &one, a, CUDA_R_16BF, size,
                 b, CUDA_R_16BF, size, &zero, c, CUDA_R_16BF, size, kCompute32F, kDefaultAlgorithm),
        "cublasGemmEx");
}

}  // namespace gemm_beside
