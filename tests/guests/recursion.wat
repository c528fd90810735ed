;; Recursion: factorial, Ackermann (44 calls), mutual recursion 51 frames deep, a function with 16 i64 parameters (stack
;; arguments) 13 deep, one with 10 i64 and 10 f64 parameters 7 deep, one with 8 results of several types 9 deep, one
;; with 16 i64 results (more than there are registers for: a return area) 7 deep, and one of which 24 locals live across
;; a call. No tail calls.
;;
;; Imports: none.
;; Exports: run: func() -> u32 = 3941346506
;; Features: multi-value. On by default in Wasmtime 48: no -W is needed.
(component $recursion-guest
  (core module $main
    (memory 1)
    (data (i32.const 0)
      "\ef\cd\ab\89\67\45\23\01\de\9b\57\13\cf\8a\46\02\cd\69\03\9d\36\d0\69\03"
      "\bc\37\af\26\9e\15\8d\04\ab\05\5b\b0\05\5b\b0\05\9a\d3\06\3a\6d\a0\d3\06"
      "\89\a1\b2\c3\d4\e5\f6\07\78\6f\5e\4d\3c\2b\1a\09\67\3d\0a\d7\a3\70\3d\0a"
      "\56\0b\b6\60\0b\b6\60\0b\45\d9\61\ea\72\fb\83\0c\34\a7\0d\74\da\40\a7\0d"
      "\23\75\b9\fd\41\86\ca\0e\12\43\65\87\a9\cb\ed\0f\01\11\11\11\11\11\11\11"
      "\f0\de\bc\9a\78\56\34\12\df\ac\68\24\e0\9b\57\13\ce\7a\14\ae\47\e1\7a\14"
      "\bd\48\c0\37\af\26\9e\15\ac\16\6c\c1\16\6c\c1\16\9b\e4\17\4b\7e\b1\e4\17"
      "\8a\b2\c3\d4\e5\f6\07\19\79\80\6f\5e\4d\3c\2b\1a\68\4e\1b\e8\b4\81\4e\1b")
    (func $factorial (param $n i64) (result i64)
      (if (result i64) (i64.eqz (local.get $n))
        (then (i64.const 1))
        (else (i64.mul (local.get $n) (call $factorial (i64.sub (local.get $n) (i64.const 1)))))))
    (func $ack (param $m i32) (param $n i32) (result i32)
      (if (i32.eqz (local.get $m))
        (then (return (i32.add (local.get $n) (i32.const 1)))))
      (if (i32.eqz (local.get $n))
        (then (return (call $ack (i32.sub (local.get $m) (i32.const 1)) (i32.const 1)))))
      (call $ack (i32.sub (local.get $m) (i32.const 1))
        (call $ack (local.get $m) (i32.sub (local.get $n) (i32.const 1)))))
    (func $even (param $n i32) (result i32)
      (if (result i32) (i32.eqz (local.get $n))
        (then (i32.const 1))
        (else (i32.add (i32.mul (call $odd (i32.sub (local.get $n) (i32.const 1))) (i32.const 3)) (i32.const 1)))))
    (func $odd (param $n i32) (result i32)
      (if (result i32) (i32.eqz (local.get $n))
        (then (i32.const 0))
        (else (i32.xor (call $even (i32.sub (local.get $n) (i32.const 1))) (local.get $n)))))
    ;; Rotates its parameters until the first is 0.
    (func $many
      (param $p0 i64) (param $p1 i64) (param $p2 i64) (param $p3 i64) (param $p4 i64) (param $p5 i64)
      (param $p6 i64) (param $p7 i64)
      (param $p8 i64) (param $p9 i64) (param $p10 i64) (param $p11 i64) (param $p12 i64) (param $p13 i64)
      (param $p14 i64) (param $p15 i64) (result i64)
      (if (result i64) (i64.eqz (local.get $p0))
        (then
          (i64.mul (local.get $p1) (i64.const 2))
          (i64.mul (local.get $p2) (i64.const 3))
          i64.add
          (i64.mul (local.get $p3) (i64.const 4))
          i64.add
          (i64.mul (local.get $p4) (i64.const 5))
          i64.add
          (i64.mul (local.get $p5) (i64.const 6))
          i64.add
          (i64.mul (local.get $p6) (i64.const 7))
          i64.add
          (i64.mul (local.get $p7) (i64.const 8))
          i64.add
          (i64.mul (local.get $p8) (i64.const 9))
          i64.add
          (i64.mul (local.get $p9) (i64.const 10))
          i64.add
          (i64.mul (local.get $p10) (i64.const 11))
          i64.add
          (i64.mul (local.get $p11) (i64.const 12))
          i64.add
          (i64.mul (local.get $p12) (i64.const 13))
          i64.add
          (i64.mul (local.get $p13) (i64.const 14))
          i64.add
          (i64.mul (local.get $p14) (i64.const 15))
          i64.add
          (i64.mul (local.get $p15) (i64.const 16))
          i64.add)
        (else (i64.add
          (call $many (i64.sub (local.get $p0) (i64.const 1))
            (local.get $p2) (local.get $p3) (local.get $p4) (local.get $p5) (local.get $p6) (local.get $p7)
            (local.get $p8) (local.get $p9) (local.get $p10) (local.get $p11) (local.get $p12)
            (local.get $p13) (local.get $p14) (local.get $p15) (local.get $p1))
          (local.get $p1)))))
    (func $mixed
      (param $a0 i64) (param $a1 i64) (param $a2 i64) (param $a3 i64) (param $a4 i64)
      (param $a5 i64) (param $a6 i64) (param $a7 i64) (param $a8 i64) (param $a9 i64)
      (param $f0 f64) (param $f1 f64) (param $f2 f64) (param $f3 f64) (param $f4 f64)
      (param $f5 f64) (param $f6 f64) (param $f7 f64) (param $f8 f64) (param $f9 f64) (result f64)
      (if (result f64) (i64.eqz (local.get $a0))
        (then
          (local.get $a1)
          (local.get $a2)
          i64.add
          (local.get $a3)
          i64.add
          (local.get $a4)
          i64.add
          (local.get $a5)
          i64.add
          (local.get $a6)
          i64.add
          (local.get $a7)
          i64.add
          (local.get $a8)
          i64.add
          (local.get $a9)
          i64.add
          f64.convert_i64_u
          (f64.const 0)
          f64.add
          (f64.mul (local.get $f0) (f64.const 1))
          f64.add
          (f64.mul (local.get $f1) (f64.const 2))
          f64.add
          (f64.mul (local.get $f2) (f64.const 3))
          f64.add
          (f64.mul (local.get $f3) (f64.const 4))
          f64.add
          (f64.mul (local.get $f4) (f64.const 5))
          f64.add
          (f64.mul (local.get $f5) (f64.const 6))
          f64.add
          (f64.mul (local.get $f6) (f64.const 7))
          f64.add
          (f64.mul (local.get $f7) (f64.const 8))
          f64.add
          (f64.mul (local.get $f8) (f64.const 9))
          f64.add
          (f64.mul (local.get $f9) (f64.const 10))
          f64.add)
        (else (f64.add
          (call $mixed (i64.sub (local.get $a0) (i64.const 1))
            (local.get $a2) (local.get $a3) (local.get $a4) (local.get $a5) (local.get $a6) (local.get $a7)
            (local.get $a8) (local.get $a9) (local.get $a1)
            (local.get $f1) (local.get $f2) (local.get $f3) (local.get $f4) (local.get $f5) (local.get $f6)
            (local.get $f7) (local.get $f8) (local.get $f9) (local.get $f0))
          (local.get $f0)))))
    (func $multi (param $n i64) (result i64 i32 f64 i64 f32 i64 i32 i64)
      (local $r0 i64) (local $r1 i32) (local $r2 f64) (local $r3 i64)
      (local $r4 f32) (local $r5 i64) (local $r6 i32) (local $r7 i64)
      (if (i64.eqz (local.get $n))
        (then (return
          (i64.const 1) (i32.const 2) (f64.const 3) (i64.const 4)
          (f32.const 5) (i64.const 6) (i32.const 7) (i64.const 8))))
      (call $multi (i64.sub (local.get $n) (i64.const 1)))
      (local.set $r7) (local.set $r6) (local.set $r5) (local.set $r4)
      (local.set $r3) (local.set $r2) (local.set $r1) (local.set $r0)
      (i64.add (local.get $r3) (local.get $n))
      (i32.add (local.get $r6) (local.get $r1))
      (f64.add (local.get $r2) (f64.const 0.5))
      (local.get $r5)
      (f32.add (local.get $r4) (f32.const 1))
      (i64.add (local.get $r7) (local.get $r0))
      (i32.wrap_i64 (local.get $n))
      (local.get $r3))
    ;; The sum of the results, of which the floats are small multiples of a half.
    (func $multi-sum (param $n i64) (result i64)
      (local $r0 i64) (local $r1 i32) (local $r2 f64) (local $r3 i64)
      (local $r4 f32) (local $r5 i64) (local $r6 i32) (local $r7 i64)
      (call $multi (local.get $n))
      (local.set $r7) (local.set $r6) (local.set $r5) (local.set $r4)
      (local.set $r3) (local.set $r2) (local.set $r1) (local.set $r0)
      (i64.add
        (i64.add
          (i64.add (local.get $r0) (i64.extend_i32_u (local.get $r1)))
          (i64.add (i64.trunc_f64_u (f64.mul (local.get $r2) (f64.const 2))) (local.get $r3)))
        (i64.add
          (i64.add (i64.trunc_f32_u (local.get $r4)) (local.get $r5))
          (i64.add (i64.extend_i32_u (local.get $r6)) (local.get $r7)))))
    ;; 16 results, of which half do not fit into registers.
    (func $wide (param $n i64)
      (result i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)
      (local $r0 i64) (local $r1 i64) (local $r2 i64) (local $r3 i64) (local $r4 i64) (local $r5 i64)
      (local $r6 i64) (local $r7 i64)
      (local $r8 i64) (local $r9 i64) (local $r10 i64) (local $r11 i64) (local $r12 i64) (local $r13 i64)
      (local $r14 i64) (local $r15 i64)
      (if (i64.eqz (local.get $n))
        (then (return
          (i64.const 1) (i64.const 2) (i64.const 5) (i64.const 10) (i64.const 17) (i64.const 26) (i64.const 37)
          (i64.const 50)
          (i64.const 65) (i64.const 82) (i64.const 101) (i64.const 122) (i64.const 145) (i64.const 170)
          (i64.const 197) (i64.const 226))))
      (call $wide (i64.sub (local.get $n) (i64.const 1)))
      (local.set $r15) (local.set $r14) (local.set $r13) (local.set $r12)
      (local.set $r11) (local.set $r10) (local.set $r9) (local.set $r8)
      (local.set $r7) (local.set $r6) (local.set $r5) (local.set $r4)
      (local.set $r3) (local.set $r2) (local.set $r1) (local.set $r0)
      (i64.add (i64.add (local.get $r5) (i64.mul (local.get $r0) (i64.const 1))) (local.get $n))
      (i64.add (i64.add (local.get $r6) (i64.mul (local.get $r1) (i64.const 2))) (local.get $n))
      (i64.add (i64.add (local.get $r7) (i64.mul (local.get $r2) (i64.const 3))) (local.get $n))
      (i64.add (i64.add (local.get $r8) (i64.mul (local.get $r3) (i64.const 4))) (local.get $n))
      (i64.add (i64.add (local.get $r9) (i64.mul (local.get $r4) (i64.const 5))) (local.get $n))
      (i64.add (i64.add (local.get $r10) (i64.mul (local.get $r5) (i64.const 6))) (local.get $n))
      (i64.add (i64.add (local.get $r11) (i64.mul (local.get $r6) (i64.const 7))) (local.get $n))
      (i64.add (i64.add (local.get $r12) (i64.mul (local.get $r7) (i64.const 8))) (local.get $n))
      (i64.add (i64.add (local.get $r13) (i64.mul (local.get $r8) (i64.const 9))) (local.get $n))
      (i64.add (i64.add (local.get $r14) (i64.mul (local.get $r9) (i64.const 10))) (local.get $n))
      (i64.add (i64.add (local.get $r15) (i64.mul (local.get $r10) (i64.const 11))) (local.get $n))
      (i64.add (i64.add (local.get $r0) (i64.mul (local.get $r11) (i64.const 12))) (local.get $n))
      (i64.add (i64.add (local.get $r1) (i64.mul (local.get $r12) (i64.const 13))) (local.get $n))
      (i64.add (i64.add (local.get $r2) (i64.mul (local.get $r13) (i64.const 14))) (local.get $n))
      (i64.add (i64.add (local.get $r3) (i64.mul (local.get $r14) (i64.const 15))) (local.get $n))
      (i64.add (i64.add (local.get $r4) (i64.mul (local.get $r15) (i64.const 16))) (local.get $n)))
    (func $wide-sum (param $n i64) (result i64)
      (local $t i64)
      (local $r0 i64) (local $r1 i64) (local $r2 i64) (local $r3 i64) (local $r4 i64) (local $r5 i64)
      (local $r6 i64) (local $r7 i64)
      (local $r8 i64) (local $r9 i64) (local $r10 i64) (local $r11 i64) (local $r12 i64) (local $r13 i64)
      (local $r14 i64) (local $r15 i64)
      (call $wide (local.get $n))
      (local.set $r15) (local.set $r14) (local.set $r13) (local.set $r12)
      (local.set $r11) (local.set $r10) (local.set $r9) (local.set $r8)
      (local.set $r7) (local.set $r6) (local.set $r5) (local.set $r4)
      (local.set $r3) (local.set $r2) (local.set $r1) (local.set $r0)
      (local.set $t (i64.add (i64.mul (local.get $t) (i64.const 3)) (local.get $r0)))
      (local.set $t (i64.add (i64.mul (local.get $t) (i64.const 3)) (local.get $r1)))
      (local.set $t (i64.add (i64.mul (local.get $t) (i64.const 3)) (local.get $r2)))
      (local.set $t (i64.add (i64.mul (local.get $t) (i64.const 3)) (local.get $r3)))
      (local.set $t (i64.add (i64.mul (local.get $t) (i64.const 3)) (local.get $r4)))
      (local.set $t (i64.add (i64.mul (local.get $t) (i64.const 3)) (local.get $r5)))
      (local.set $t (i64.add (i64.mul (local.get $t) (i64.const 3)) (local.get $r6)))
      (local.set $t (i64.add (i64.mul (local.get $t) (i64.const 3)) (local.get $r7)))
      (local.set $t (i64.add (i64.mul (local.get $t) (i64.const 3)) (local.get $r8)))
      (local.set $t (i64.add (i64.mul (local.get $t) (i64.const 3)) (local.get $r9)))
      (local.set $t (i64.add (i64.mul (local.get $t) (i64.const 3)) (local.get $r10)))
      (local.set $t (i64.add (i64.mul (local.get $t) (i64.const 3)) (local.get $r11)))
      (local.set $t (i64.add (i64.mul (local.get $t) (i64.const 3)) (local.get $r12)))
      (local.set $t (i64.add (i64.mul (local.get $t) (i64.const 3)) (local.get $r13)))
      (local.set $t (i64.add (i64.mul (local.get $t) (i64.const 3)) (local.get $r14)))
      (local.set $t (i64.add (i64.mul (local.get $t) (i64.const 3)) (local.get $r15)))
      (local.get $t))
    (func $locals (param $at i32) (param $x i64) (result i64)
      (local $acc i64)
      (local $l0 i64) (local $l1 i64) (local $l2 i64) (local $l3 i64) (local $l4 i64) (local $l5 i64) (local $l6 i64)
      (local $l7 i64) (local $l8 i64) (local $l9 i64) (local $l10 i64) (local $l11 i64) (local $l12 i64)
      (local $l13 i64) (local $l14 i64) (local $l15 i64) (local $l16 i64) (local $l17 i64) (local $l18 i64)
      (local $l19 i64) (local $l20 i64) (local $l21 i64) (local $l22 i64) (local $l23 i64)
      (local.set $l0 (i64.load offset=0 (local.get $at)))
      (local.set $l1 (i64.load offset=8 (local.get $at)))
      (local.set $l2 (i64.load offset=16 (local.get $at)))
      (local.set $l3 (i64.load offset=24 (local.get $at)))
      (local.set $l4 (i64.load offset=32 (local.get $at)))
      (local.set $l5 (i64.load offset=40 (local.get $at)))
      (local.set $l6 (i64.load offset=48 (local.get $at)))
      (local.set $l7 (i64.load offset=56 (local.get $at)))
      (local.set $l8 (i64.load offset=64 (local.get $at)))
      (local.set $l9 (i64.load offset=72 (local.get $at)))
      (local.set $l10 (i64.load offset=80 (local.get $at)))
      (local.set $l11 (i64.load offset=88 (local.get $at)))
      (local.set $l12 (i64.load offset=96 (local.get $at)))
      (local.set $l13 (i64.load offset=104 (local.get $at)))
      (local.set $l14 (i64.load offset=112 (local.get $at)))
      (local.set $l15 (i64.load offset=120 (local.get $at)))
      (local.set $l16 (i64.load offset=128 (local.get $at)))
      (local.set $l17 (i64.load offset=136 (local.get $at)))
      (local.set $l18 (i64.load offset=144 (local.get $at)))
      (local.set $l19 (i64.load offset=152 (local.get $at)))
      (local.set $l20 (i64.load offset=160 (local.get $at)))
      (local.set $l21 (i64.load offset=168 (local.get $at)))
      (local.set $l22 (i64.load offset=176 (local.get $at)))
      (local.set $l23 (i64.load offset=184 (local.get $at)))
      (local.set $acc (i64.extend_i32_u (call $ack (i32.const 2) (i32.const 1))))
      (local.set $acc (i64.add (i64.rotl (local.get $acc) (i64.const 1)) (i64.xor (local.get $l23) (local.get $x))))
      (local.set $acc (i64.add (i64.rotl (local.get $acc) (i64.const 1)) (i64.xor (local.get $l22) (local.get $x))))
      (local.set $acc (i64.add (i64.rotl (local.get $acc) (i64.const 1)) (i64.xor (local.get $l21) (local.get $x))))
      (local.set $acc (i64.add (i64.rotl (local.get $acc) (i64.const 1)) (i64.xor (local.get $l20) (local.get $x))))
      (local.set $acc (i64.add (i64.rotl (local.get $acc) (i64.const 1)) (i64.xor (local.get $l19) (local.get $x))))
      (local.set $acc (i64.add (i64.rotl (local.get $acc) (i64.const 1)) (i64.xor (local.get $l18) (local.get $x))))
      (local.set $acc (i64.add (i64.rotl (local.get $acc) (i64.const 1)) (i64.xor (local.get $l17) (local.get $x))))
      (local.set $acc (i64.add (i64.rotl (local.get $acc) (i64.const 1)) (i64.xor (local.get $l16) (local.get $x))))
      (local.set $acc (i64.add (i64.rotl (local.get $acc) (i64.const 1)) (i64.xor (local.get $l15) (local.get $x))))
      (local.set $acc (i64.add (i64.rotl (local.get $acc) (i64.const 1)) (i64.xor (local.get $l14) (local.get $x))))
      (local.set $acc (i64.add (i64.rotl (local.get $acc) (i64.const 1)) (i64.xor (local.get $l13) (local.get $x))))
      (local.set $acc (i64.add (i64.rotl (local.get $acc) (i64.const 1)) (i64.xor (local.get $l12) (local.get $x))))
      (local.set $acc (i64.add (i64.rotl (local.get $acc) (i64.const 1)) (i64.xor (local.get $l11) (local.get $x))))
      (local.set $acc (i64.add (i64.rotl (local.get $acc) (i64.const 1)) (i64.xor (local.get $l10) (local.get $x))))
      (local.set $acc (i64.add (i64.rotl (local.get $acc) (i64.const 1)) (i64.xor (local.get $l9) (local.get $x))))
      (local.set $acc (i64.add (i64.rotl (local.get $acc) (i64.const 1)) (i64.xor (local.get $l8) (local.get $x))))
      (local.set $acc (i64.add (i64.rotl (local.get $acc) (i64.const 1)) (i64.xor (local.get $l7) (local.get $x))))
      (local.set $acc (i64.add (i64.rotl (local.get $acc) (i64.const 1)) (i64.xor (local.get $l6) (local.get $x))))
      (local.set $acc (i64.add (i64.rotl (local.get $acc) (i64.const 1)) (i64.xor (local.get $l5) (local.get $x))))
      (local.set $acc (i64.add (i64.rotl (local.get $acc) (i64.const 1)) (i64.xor (local.get $l4) (local.get $x))))
      (local.set $acc (i64.add (i64.rotl (local.get $acc) (i64.const 1)) (i64.xor (local.get $l3) (local.get $x))))
      (local.set $acc (i64.add (i64.rotl (local.get $acc) (i64.const 1)) (i64.xor (local.get $l2) (local.get $x))))
      (local.set $acc (i64.add (i64.rotl (local.get $acc) (i64.const 1)) (i64.xor (local.get $l1) (local.get $x))))
      (local.set $acc (i64.add (i64.rotl (local.get $acc) (i64.const 1)) (i64.xor (local.get $l0) (local.get $x))))
      (local.get $acc))
    (func $run (export "run") (result i32)
      (local $l i64)
      (local.set $l (call $locals (i32.const 0) (i64.const 77)))
      (i32.wrap_i64 (call $factorial (i64.const 10)))                                            ;; 3628800
      (call $ack (i32.const 2) (i32.const 3))                                                    ;; 9
      i32.add
      (call $even (i32.const 50))                                                                ;; 3428439665
      i32.add
      ;; 1168
      (i32.wrap_i64 (call $many (i64.const 12) (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)
        (i64.const 5) (i64.const 6) (i64.const 7)
        (i64.const 8) (i64.const 9) (i64.const 10) (i64.const 11) (i64.const 12) (i64.const 13) (i64.const 14)
        (i64.const 15)))
      i32.add
      (i32.trunc_f64_u (f64.mul (f64.const 2) (call $mixed (i64.const 6)                         ;; 188.0
        (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5) (i64.const 6) (i64.const 7)
        (i64.const 8) (i64.const 9)
        (f64.const 0.5) (f64.const 1) (f64.const 1.5) (f64.const 2) (f64.const 2.5) (f64.const 3) (f64.const 3.5)
        (f64.const 4) (f64.const 4.5) (f64.const 5))))
      i32.add
      (i32.wrap_i64 (call $multi-sum (i64.const 8)))                                             ;; 245
      i32.add
      (i32.wrap_i64 (call $wide-sum (i64.const 6)))                                              ;; of 197596126525864
      i32.add
      ;; of 5657001514974904908
      (i32.wrap_i64 (i64.xor (local.get $l) (i64.shr_u (local.get $l) (i64.const 32))))
      i32.add))
  (core instance $i (instantiate $main))
  (func (export "run") (result u32) (canon lift (core func $i "run"))))
