// Every operator's schema. Shapes: x [B, D] or [S, B, D]; gallery [G, D] or [S, G, D]; no gallery:
// G = B.
#include <torch/csrc/stable/library.h>

#if !defined(DRSL_NAMESPACE)
#define DRSL_NAMESPACE drsl  // another one where kernels run on host threads
#endif

STABLE_TORCH_LIBRARY(DRSL_NAMESPACE, m) {
  // Distance and cosine of all pairs, [.., B, G] each. tf32: on a GPU, float32 products
  // may be rounded.
  m.def("pairwise(Tensor x, Tensor? gallery, bool tf32=False) -> (Tensor distance, Tensor cosine)");

  // A query's row → its loss and its primary terms: loss [.., B], terms [.., B, 3], ∂/∂d and ∂/∂cos
  // [.., B, G].
  m.def(
      "rank_sort(Tensor distance, Tensor cosine, Tensor labels, Tensor? gallery_labels, "
      "Tensor? self_index, Tensor? exclude, str loss, float[] params) "
      "-> (Tensor loss, Tensor terms, Tensor grad_distance, Tensor grad_cosine)");

  // Primary terms → gradients of the rows. Without a gallery grad_x holds both sides and
  // grad_gallery is empty.
  m.def(
      "redistribute(Tensor grad_distance, Tensor grad_cosine, Tensor distance, Tensor cosine, "
      "Tensor x, Tensor? gallery, bool tf32=False) -> (Tensor grad_x, Tensor grad_gallery)");

  // All three, a block of rows at a time. reduction: 0 none, 1 mean, 2 sum. The gradients are those
  // of the reduced loss, or of Σ row_weight · loss if row_weight [.., B] is given, in the
  // accumulation type; empty if not asked for.
  m.def(
      "embedding_loss(Tensor x, Tensor labels, Tensor? gallery, Tensor? gallery_labels, "
      "Tensor? self_index, Tensor? exclude, Tensor? row_weight, str loss, float[] params, "
      "bool normalize, int reduction, bool grad_x, bool grad_gallery, bool tf32=False) "
      "-> (Tensor loss, Tensor terms, Tensor grad_x, Tensor grad_gallery)");

  // Losses on scores and targets [N] or [S, N]: a number each, or [S]. With `grad`, also the
  // gradient of the losses by the scores; else it is empty. `apart`: that of ranking and sorting
  // each in a tensor of its own, else both in the first.
  m.def(
      "rank_sort_loss(Tensor scores, Tensor targets, float delta, bool grad, bool apart=False) "
      "-> (Tensor ranking, Tensor sorting, Tensor grad_scores, Tensor grad_sorting)");
  m.def(
      "ap_loss(Tensor scores, Tensor targets, float delta, bool interpolated, bool grad) "
      "-> (Tensor loss, Tensor grad_scores)");

  // regression_losses, rank and order: [n] for the positives from left to right, or [S, N]. order
  // lists them by score, as places among the positives, or as columns and then −1.
  m.def(
      "alrp_loss(Tensor scores, Tensor targets, Tensor regression_losses, float delta, bool grad) "
      "-> (Tensor loss, Tensor rank, Tensor order, Tensor grad_scores)");

  // Evaluation: what the places of a query's matches in its list say. x [B, D], gallery [G, D]:
  // features; norm2 [B], [G]: squared lengths of what is multiplied, infinite for entries that are in
  // no list; by_identity [G]: columns, those of an identity side by side and ascending; begin, end
  // [B]: where those of the query's identity are in it; on_grid: products are exact.
  // ap, inp: NaN without matches. first: place of the first match, 0 without.

  // A tile of height × width at a time. Operands: scale · (features − a centre), multiplied in
  // `parts` sums. first_equal [G]: the first entry of its tile with the same features, as a place
  // in the tile. limit: distances from differences that a query may take, −1: any number; first is
  // −1 if they are more.
  m.def(
      "match_tiles(Tensor x_operand, Tensor gallery_operand, Tensor x, Tensor gallery, "
      "Tensor x_norm2, Tensor gallery_norm2, Tensor first_equal, Tensor by_identity, Tensor begin, "
      "Tensor end, Tensor? x_camera, Tensor? gallery_camera, float scale, bool on_grid, int parts, "
      "int height, int width, int limit) -> (Tensor ap, Tensor inp, Tensor first)");

  // From whole rows of products in double precision, gram [B, G], for any number of matches and near
  // ties. first_equal [G]: an entry with the same features.
  m.def(
      "match_rows(Tensor gram, Tensor x, Tensor gallery, Tensor x_norm2, Tensor gallery_norm2, "
      "Tensor first_equal, Tensor by_identity, Tensor begin, Tensor end, Tensor? x_camera, "
      "Tensor? gallery_camera, bool on_grid) -> (Tensor ap, Tensor inp, Tensor first)");

  // On a GPU: rows [B, D] as whole numbers of three digits (core/fixed_point.h). digits [B', 3 D'],
  // columns [B', 2] and rows [B, 6] are what match_digits reads of a gallery; B' and D' are padded.
  // centre [D], in double, is taken away first; scale: a power of two that makes the longest about 1.
  m.def(
      "fixed_point(Tensor rows, Tensor? centre, float scale, bool mirrored) "
      "-> (Tensor digits, Tensor columns, Tensor rows)");

  // What match_tiles computes, from these of the gallery, mirrored; columns' first number is infinite
  // for entries that are in no list. most [6]: the largest of each number in rows. width: columns of
  // a tile; slots: matches that a query may have, limit: distances from differences beside theirs.
  // first is −1 if there are more.
  m.def(
      "match_digits(Tensor x, Tensor gallery, Tensor digits, Tensor columns, Tensor rows, "
      "Tensor most, Tensor? centre, Tensor by_identity, Tensor begin, Tensor end, "
      "Tensor? x_camera, Tensor? gallery_camera, float scale, int width, int slots, int limit) "
      "-> (Tensor ap, Tensor inp, Tensor first)");

  // Σ (x − r)² in double precision, [B, G].
  m.def("exact_distances(Tensor x, Tensor gallery) -> Tensor");

  // |x|² in double precision, of rows [B, D].
  m.def("squared_lengths(Tensor rows) -> Tensor");
}
