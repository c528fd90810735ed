;; Garbage-collected objects, of which allocation, casts, and references to functions within them call Wasmtime's
;; builtins, from a few frames down and with references which live across calls: a list of structs built recursively,
;; an array, ref.test and br_on_cast of three types, a struct which holds a function, i31.
;;
;; Imports: none.
;; Exports: run: func() -> u32 = 851854
;; Features: GC, typed function references. On by default in Wasmtime 48: no -W is needed.
(component $gc-guest
  (core module $main
    (type $binop (func (param i32 i32) (result i32)))
    (rec
      (type $node (sub (struct (field $value i32) (field $next (ref null $node)))))
      (type $weighted (sub $node (struct (field $value i32) (field $next (ref null $node)) (field $weight i64))))
      (type $computed (sub final $node
        (struct (field $value i32) (field $next (ref null $node)) (field $by (ref $binop))))))
    (type $ints (array (mut i32)))
    (elem declare func $plus $times)
    (func $plus (type $binop) (i32.add (local.get 0) (local.get 1)))
    (func $times (type $binop) (i32.mul (local.get 0) (local.get 1)))
    ;; A node for each of n to 1: plain, weighted, or computed (in turn by $plus and $times) as n % 3 has it.
    (func $build (param $n i32) (param $before i64) (result (ref null $node))
      (local $next (ref null $node))
      (if (i32.eqz (local.get $n))
        (then (return (ref.null $node))))
      (local.set $next (call $build (i32.sub (local.get $n) (i32.const 1)) (i64.add (local.get $before) (i64.const 2))))
      (if (i32.eqz (i32.rem_u (local.get $n) (i32.const 3)))
        (then (return (struct.new $node (local.get $n) (local.get $next)))))
      (if (i32.eq (i32.rem_u (local.get $n) (i32.const 3)) (i32.const 1))
        (then (return (struct.new $weighted (local.get $n) (local.get $next) (local.get $before)))))
      (struct.new $computed (local.get $n) (local.get $next)
        (if (result (ref $binop)) (i32.and (local.get $n) (i32.const 1))
          (then (ref.func $plus))
          (else (ref.func $times)))))
    (func $weigh (param $node (ref $node)) (result i32)
      (local $w (ref $weighted)) (local $c (ref $computed))
      (block $computed (result (ref $computed))
        (block $weighted (result (ref $weighted))
          (br_on_cast $weighted (ref $node) (ref $weighted) (local.get $node))
          (br_on_cast $computed (ref $node) (ref $computed))
          (return (struct.get $node $value)))
        local.set $w
        (return (i32.add
          (struct.get $weighted $value (local.get $w))
          (i32.wrap_i64 (struct.get $weighted $weight (local.get $w))))))
      local.set $c
      (call_ref $binop
        (struct.get $computed $value (local.get $c))
        (i32.const 10)
        (struct.get $computed $by (local.get $c))))
    (func $total (param $node (ref null $node)) (result i32)
      (local $tested i32)
      (if (ref.is_null (local.get $node))
        (then (return (i32.const 0))))
      (local.set $tested (ref.test (ref $weighted) (local.get $node)))
      (i32.add
        (i32.mul (call $total (struct.get $node $next (local.get $node))) (i32.const 3))
        (i32.add (call $weigh (ref.as_non_null (local.get $node))) (local.get $tested))))
    (func $squares (param $n i32) (result (ref $ints))
      (local $a (ref $ints)) (local $i i32)
      (local.set $a (array.new $ints (i32.const 1) (local.get $n)))
      (loop $again
        (array.set $ints (local.get $a) (local.get $i) (i32.mul (local.get $i) (local.get $i)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $i) (local.get $n))))
      (local.get $a))
    (func $unpack (param $r anyref) (result i32)
      (i31.get_u (ref.cast (ref i31) (local.get $r))))
    (func $run (export "run") (result i32)
      (local $list (ref null $node)) (local $a (ref $ints))
      (local.set $list (call $build (i32.const 9) (i64.const 100)))
      (local.set $a (call $squares (i32.const 6)))
      (i32.add
        (i32.add
          (call $total (local.get $list))
          (i32.mul (array.get $ints (local.get $a) (i32.const 5)) (array.len (local.get $a))))
        (call $unpack (ref.i31 (i32.const 1000))))))
  (core instance $i (instantiate $main))
  (func (export "run") (result u32) (canon lift (core func $i "run"))))
