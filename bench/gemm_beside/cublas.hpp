#pragma once

#include <cuda_runtime_api.h>
#include <library_types.h>

#include <string>

namespace gemm_beside {

// cuBLAS, found and loaded when the program runs: building then needs none, and the program stays
// small enough to be carried to another machine. Stays loaded until the process ends. The functions
// are declared here by hand; their types and values are those of cublas_api.h, which are part of
// its ABI (the same in versions 11 to 13).
class Cublas {
 public:
  using Handle = void*;

  // Where to look: the file `path` if given, else what the loader knows, then CUDA's and Python's
  // usual folders, and `python_packages` (a site-packages folder) if given. Throws:
  // Error{resource} naming every file tried and why not.
  static Cublas load(const std::string& path, const std::string& python_packages);

  const std::string& file() const noexcept { return file_; }

  // All throw Error{resource} with cuBLAS's own words.
  Handle create(cudaStream_t stream, void* workspace, std::size_t workspace_bytes) const;
  void destroy(Handle handle) const noexcept { destroy_(handle); }
  std::string version(Handle handle) const;
  // c = a * b, bf16 with float sums, square, column-major, all dense.
  void multiply(Handle handle, int size, const void* a, const void* b, void* c) const;

 private:
  Cublas() = default;
  void check(int status, const char* what) const;
  bool open(const std::string& file, std::string& why);

  std::string file_;
  int (*create_)(Handle*) = nullptr;
  int (*destroy_)(Handle) = nullptr;
  int (*get_version_)(Handle, int*) = nullptr;
  int (*set_stream_)(Handle, cudaStream_t) = nullptr;
  int (*set_workspace_)(Handle, void*, std::size_t) = nullptr;
  const char* (*status_string_)(int) = nullptr;
  int (*gemm_ex_)(Handle, int transa, int transb, int m, int n, int k, const void* alpha,
                  const void* a, cudaDataType a_type, int lda, const void* b, cudaDataType b_type,
                  int ldb, const void* beta, void* c, cudaDataType c_type, int ldc,
                  int compute_type, int algorithm) = nullptr;
};

}  // namespace gemm_beside
