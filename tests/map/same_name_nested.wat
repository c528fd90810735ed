;; Two components, each a composition of an app and a provider: what is around a provider tells which one it is.
(component $market
  (component $shop
    (component $provider
      (core module $code (func (export "demo:math/ops#answer") (result i32) i32.const 1))
      (core instance $i (instantiate $code))
      (func $answer (result s32) (canon lift (core func $i "demo:math/ops#answer")))
      (instance $ops (export "answer" (func $answer)))
      (export "demo:math/ops" (instance $ops)))
    (component $app
      (import "demo:math/ops" (instance $ops (export "answer" (func (result s32)))))
      (core func $answer (canon lower (func $ops "answer")))
      (core module $main
        (import "demo:math/ops" "answer" (func $answer (result i32)))
        (func $buy (export "buy") (result i32) (call $answer)))
      (core instance $m (instantiate $main (with "demo:math/ops" (instance (export "answer" (func $answer))))))
      (func (export "buy") (result s32) (canon lift (core func $m "buy"))))
    (instance $provider (instantiate $provider))
    (instance $app (instantiate $app (with "demo:math/ops" (instance $provider "demo:math/ops"))))
    (export "buy" (func $app "buy")))
  (component $bank
    (component $provider
      (core module $code (func (export "demo:math/ops#answer") (result i32) i32.const 2))
      (core instance $i (instantiate $code))
      (func $answer (result s32) (canon lift (core func $i "demo:math/ops#answer")))
      (instance $ops (export "answer" (func $answer)))
      (export "demo:math/ops" (instance $ops)))
    (component $app
      (import "demo:math/ops" (instance $ops (export "answer" (func (result s32)))))
      (core func $answer (canon lower (func $ops "answer")))
      (core module $main
        (import "demo:math/ops" "answer" (func $answer (result i32)))
        (func $pay (export "pay") (result i32) (call $answer)))
      (core instance $m (instantiate $main (with "demo:math/ops" (instance (export "answer" (func $answer))))))
      (func (export "pay") (result s32) (canon lift (core func $m "pay"))))
    (instance $provider (instantiate $provider))
    (instance $app (instantiate $app (with "demo:math/ops" (instance $provider "demo:math/ops"))))
    (export "pay" (func $app "pay")))
  (instance $shop (instantiate $shop))
  (instance $bank (instantiate $bank))
  (export "buy" (func $shop "buy"))
  (export "pay" (func $bank "pay")))
