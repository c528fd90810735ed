;; Instructions which call Wasmtime's builtins, from a few frames down and with values which live across: memory.grow,
;; memory.fill, memory.copy and memory.init (of lengths that are not known to the compiler: it inlines short copies),
;; data.drop, table.grow, table.fill, table.copy, table.init, elem.drop, table.get and call_indirect (lazy
;; initialisation), ref.func, memory.atomic.notify.
;;
;; Imports: none.
;; Exports: grow: func(pages: u32) -> u32: grows memory page by page; the pages there are afterwards, of which there are
;;          1 at first: grow(n) = 1 + n the first time; the maximum is 1001, and what is beyond is not grown.
;;          bulk: func(bytes: u32, rounds: u32) -> u32: memory.fill and memory.copy of so many bytes (at most 32768),
;;          so often; (rounds - 1) % 256 * 2 when neither is 0, and 0 when one is.
;;            bulk(32768, 1000) = 462
;;          tables: func(n: u32) -> u32 = 4 + n the first time: grows a table of 4 by one entry n times; the maximum is
;;          1000.
;;          run: func() -> u32 = 326183592, on a fresh instance (it grows memory and tables, and drops segments: the
;;          second time it traps)
;; Features: threads (only for the instruction memory.atomic.notify; no shared memory), bulk memory, reference types. On
;;          by default in Wasmtime 48: no -W is needed.
(component $memory-guest
  (core module $main
    (type $unary (func (param i32) (result i32)))
    (memory 1 1001)
    (table $t 4 1000 funcref)
    (table $lazy funcref (elem $inc $double $inc $double))
    (elem $segment func $inc $double $negate)
    (data $text "some bytes to be initialised")      ;; 28 bytes
    (func $inc (type $unary) (i32.add (local.get 0) (i32.const 1)))
    (func $double (type $unary) (i32.mul (local.get 0) (i32.const 2)))
    (func $negate (type $unary) (i32.sub (i32.const 0) (local.get 0)))
    (func $grow-by (param $pages i32) (param $k f64) (result f64)
      (f64.add (f64.convert_i32_s (memory.grow (local.get $pages))) (local.get $k)))
    (func $grow (export "grow") (param $pages i32) (result i32)
      (block $done
        (loop $again
          (br_if $done (i32.eqz (local.get $pages)))
          (drop (call $grow-by (i32.const 1) (f64.const 0.5)))
          (local.set $pages (i32.sub (local.get $pages) (i32.const 1)))
          (br $again)))
      (memory.size))
    (func $fill (param $at i32) (param $value i32) (param $len i32) (result i32)
      (memory.fill (local.get $at) (local.get $value) (local.get $len))
      (i32.add (local.get $at) (local.get $len)))
    (func $copy (param $to i32) (param $from i32) (param $len i32) (result i32)
      (memory.copy (local.get $to) (local.get $from) (local.get $len))
      (i32.add (local.get $to) (local.get $len)))
    (func $init (param $to i32) (param $from i32) (param $len i32) (result i32)
      (memory.init $text (local.get $to) (local.get $from) (local.get $len))
      (i32.add (local.get $to) (local.get $len)))
    ;; Of each round: fill the first half with the number of the round, copy it to the second, and add the last byte of
    ;; both.
    (func $bulk (export "bulk") (param $bytes i32) (param $rounds i32) (result i32)
      (local $i i32) (local $r i32)
      (block $done
        (br_if $done (i32.eqz (local.get $bytes)))
        (loop $again
          (br_if $done (i32.ge_u (local.get $i) (local.get $rounds)))
          (local.set $r (i32.load8_u (i32.sub
            (call $fill (i32.const 0) (local.get $i) (local.get $bytes))
            (i32.const 1))))
          (local.set $r (i32.add (local.get $r) (i32.load8_u (i32.sub
            (call $copy (i32.const 32768) (i32.const 0) (local.get $bytes))
            (i32.const 1)))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br $again)))
      (local.get $r))
    (func $grow-table (param $by i32) (result i32)
      (table.grow $t (ref.func $negate) (local.get $by)))
    (func $tables (export "tables") (param $n i32) (result i32)
      (block $done
        (loop $again
          (br_if $done (i32.eqz (local.get $n)))
          (drop (call $grow-table (i32.const 1)))
          (local.set $n (i32.sub (local.get $n) (i32.const 1)))
          (br $again)))
      (table.size $t))
    (func $table-fill (param $at i32) (param $f funcref) (param $len i32)
      (table.fill $t (local.get $at) (local.get $f) (local.get $len)))
    (func $table-copy (param $to i32) (param $from i32) (param $len i32)
      (table.copy $t $lazy (local.get $to) (local.get $from) (local.get $len)))
    (func $table-init (param $to i32) (param $from i32) (param $len i32)
      (table.init $t $segment (local.get $to) (local.get $from) (local.get $len)))
    (func $call (param $i i32) (param $x i32) (result i32)
      (call_indirect $t (type $unary) (local.get $x) (local.get $i)))
    (func $call-lazy (param $i i32) (param $x i32) (result i32)
      (call_indirect $lazy (type $unary) (local.get $x) (local.get $i)))
    (func $notify (param $at i32) (param $k i32) (result i32)
      (i32.add (memory.atomic.notify (local.get $at) (i32.const 1)) (local.get $k)))
    (func $run (export "run") (result i32)
      (local $r i32)
      (local.set $r (call $grow (i32.const 3)))                                                              ;; 4
      (local.set $r (i32.add (i32.mul (local.get $r) (i32.const 10)) (call $bulk (i32.const 300) (i32.const 4))))   ;; 6
      ;; "bytes to be "
      (drop (call $init (i32.const 500) (i32.const 5) (i32.const 12)))
      (data.drop $text)
      (local.set $r (i32.add (i32.mul (local.get $r) (i32.const 10)) (i32.load8_u (i32.const 500))))         ;; b: 98
      (local.set $r (i32.add (i32.mul (local.get $r) (i32.const 10)) (i32.load8_u (i32.const 511))))         ;; " ": 32
      ;; 40
      (local.set $r (i32.add (i32.mul (local.get $r) (i32.const 10)) (call $call-lazy (i32.const 1) (i32.const 20))))
      ;; t = inc, double, inc, double; then negate at 4 to 6; then inc at 4
      (call $table-copy (i32.const 0) (i32.const 0) (i32.const 4))
      (local.set $r (i32.add (i32.mul (local.get $r) (i32.const 10)) (call $tables (i32.const 3))))          ;; 7
      (call $table-fill (i32.const 4) (table.get $lazy (i32.const 2)) (i32.const 1))
      ;; 2, 3: double, negate
      (call $table-init (i32.const 2) (i32.const 1) (i32.const 2))
      (elem.drop $segment)
      (local.set $r (i32.add (i32.mul (local.get $r) (i32.const 10)) (call $call (i32.const 0) (i32.const 4))))   ;; 5
      (local.set $r (i32.add (i32.mul (local.get $r) (i32.const 10)) (call $call (i32.const 2) (i32.const 4))))   ;; 8
      (local.set $r (i32.add (i32.mul (local.get $r) (i32.const 10)) (call $call (i32.const 3) (i32.const -4))))  ;; 4
      (local.set $r (i32.add (i32.mul (local.get $r) (i32.const 10)) (call $call (i32.const 4) (i32.const 2))))   ;; 3
      (local.set $r (i32.add (i32.mul (local.get $r) (i32.const 10)) (call $call (i32.const 6) (i32.const -9))))  ;; 9
      (i32.add (local.get $r) (call $notify (i32.const 64) (i32.const 1)))))                                 ;; 1
  (core instance $i (instantiate $main))
  (func (export "run") (result u32) (canon lift (core func $i "run")))
  (func (export "grow") (param "pages" u32) (result u32) (canon lift (core func $i "grow")))
  (func (export "bulk") (param "bytes" u32) (param "rounds" u32) (result u32) (canon lift (core func $i "bulk")))
  (func (export "tables") (param "n" u32) (result u32) (canon lift (core func $i "tables"))))
