#pragma once
// Mutants that are chosen when the program runs (tools/mutate): operators that are two in one.
//
//   a < b     is written     a < Lt<17>{} < b
//
// which has the same precedence and associativity as before, takes in a, then b, and gives a < b; if
// mutant 17 is the active one, a <= b; if 18 is, a >= b. Literals are written literal<19>(2), and
// conditions  a && passes<20>() && b  and  a || fails<21>() || b.  What is evaluated at compile time is
// never mutated.
#include <type_traits>

// Number of the active mutant; 0: none; -1: none, but those that are reached are marked.
extern "C" int drsl_mutant;
extern "C" unsigned char drsl_mutants_reached[];

namespace drsl_mutants {

#define DRSL_SWITCH inline __attribute__((always_inline)) constexpr

template <int id>
DRSL_SWITCH bool is() {
  if (std::is_constant_evaluated()) return false;
  const int active = drsl_mutant;
  if (__builtin_expect(active < 0, 0)) drsl_mutants_reached[id] = 1;
  return active == id;
}

// An operand beside a vector is a number of the vector's type, as a literal there would be.
template <class A, class B>
DRSL_SWITCH auto beside(B b) {
  if constexpr (std::is_arithmetic_v<B> && !std::is_scalar_v<A> && requires(A a) { a[0] + b; })
    return std::remove_cvref_t<decltype(A{}[0])>(b);
  else
    return b;
}

// `first` and, of comparisons, `second` take the place of `was`, where the types know them.
#define DRSL_OPERATOR(Name, was, first, second, two)               \
  template <int id>                                                \
  struct Name {};                                                  \
  template <int id, class A>                                       \
  struct Name##Held {                                              \
    A a;                                                           \
  };                                                               \
  template <class A, int id>                                       \
  DRSL_SWITCH auto operator was(A a, Name<id>) {                   \
    return Name##Held<id, A>{a};                                   \
  }                                                                \
  template <int id, class A, class B>                              \
  DRSL_SWITCH auto operator was(Name##Held<id, A> held, B right) { \
    const auto b = beside<A>(right);                               \
    const auto a = beside<B>(held.a);                              \
    using R = std::remove_cvref_t<decltype(a was b)>;              \
    if constexpr (requires { R(a first b); })                      \
      if (is<id>()) return R(a first b);                           \
    if constexpr (two && requires { R(a second b); })              \
      if (is<id + 1>()) return R(a second b);                      \
    return R(a was b);                                             \
  }
DRSL_OPERATOR(Add, +, -, -, false)
DRSL_OPERATOR(Sub, -, +, +, false)
DRSL_OPERATOR(Mul, *, /, /, false)
DRSL_OPERATOR(Div, /, *, *, false)
DRSL_OPERATOR(Lt, <, <=, >=, true)
DRSL_OPERATOR(Le, <=, <, >, true)
DRSL_OPERATOR(Gt, >, >=, <=, true)
DRSL_OPERATOR(Ge, >=, >, <, true)
DRSL_OPERATOR(Eq, ==, !=, !=, false)
DRSL_OPERATOR(Ne, !=, ==, ==, false)

// a += b is written a += AddTo<22>{} += b and binds from the right.
#define DRSL_ASSIGNMENT(Name, was, instead)                \
  template <int id>                                        \
  struct Name {};                                          \
  template <int id, class B>                               \
  struct Name##Held {                                      \
    B b;                                                   \
  };                                                       \
  template <int id, class B>                               \
  DRSL_SWITCH auto operator was(Name<id>, B b) {           \
    return Name##Held<id, B>{b};                           \
  }                                                        \
  template <class A, int id, class B>                      \
  DRSL_SWITCH A& operator was(A& a, Name##Held<id, B> h) { \
    if (is<id>())                                          \
      a instead h.b;                                       \
    else                                                   \
      a was h.b;                                           \
    return a;                                              \
  }
DRSL_ASSIGNMENT(AddTo, +=, -=)
DRSL_ASSIGNMENT(TakeFrom, -=, +=)
DRSL_ASSIGNMENT(MultiplyBy, *=, /=)

template <int id>
DRSL_SWITCH bool passes() {
  return !is<id>();
}
template <int id>
DRSL_SWITCH bool fails() {
  return is<id>();
}

// 0 → 1, n → n + 1, 0.5 → 1.0. No constexpr: within a template the compiler would evaluate it on the
// spot, active or not. Where a constant is wanted, literals stay literals (rebuild.py).
template <int id, class T>
inline __attribute__((always_inline)) T literal(T x) {
  if (!is<id>()) return x;
  return std::is_integral_v<T> || x == T(0) ? T(x + T(1)) : T(2 * x);
}

}  // namespace drsl_mutants
