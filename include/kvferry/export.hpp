#pragma once

// Everything the shared library shows is marked; the rest (CUDA runtime, FlatBuffers, Asio) stays
// hidden.
#define KVFERRY_API __attribute__((visibility("default")))
