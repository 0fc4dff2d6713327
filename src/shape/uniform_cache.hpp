#pragma once

#include "shape/config_fields.hpp"

namespace kvferry::shape {

// Refuses a model whose cache one CacheShape cannot describe: state-space and hybrid models, layers
// that differ in heads or share a cache, a second cache beside the first.
// `model` holds the text model's fields.
// Throws: Error{invalid_argument} naming the field that says so.
void require_uniform_cache(const ConfigFields& model);
// Refuses encoder-decoders, whose cross-attention cache has another shape.
// Throws: Error{invalid_argument}.
void require_decoder_only(const ConfigFields& fields);

}  // namespace kvferry::shape
