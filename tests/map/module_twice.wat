;; One module instantiated twice is one library, and one component instantiated twice is one component.
(component $twice
  (core module $m
    (func $value (export "value") (result i32) i32.const 1))
  (core instance $a (instantiate $m))
  (core instance $b (instantiate $m))
  (component $nested
    (core module $n (func $value (export "demo:two/nested@0.1.0#value") (result i32) i32.const 2))
    (core instance $i (instantiate $n))
    (func $value (result u32) (canon lift (core func $i "demo:two/nested@0.1.0#value")))
    (instance $v (export "value" (func $value)))
    (export "demo:two/nested@0.1.0" (instance $v)))
  (instance $x (instantiate $nested))
  (instance $y (instantiate $nested))
  (func (export "first") (result s32) (canon lift (core func $a "value")))
  (func (export "second") (result s32) (canon lift (core func $b "value")))
  (export "demo:two/one" (instance $x "demo:two/nested@0.1.0"))
  (export "demo:two/two" (instance $y "demo:two/nested@0.1.0")))
