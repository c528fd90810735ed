;; A core module that stands alone. `run(n)` calls `fd_write` n times, `fd_read` twice, and `environ_sizes_get` once, each of
;; which has the signature of another import; then `fd_write` three times through a table, and `fd_read` once by a tail
;; call, where nothing but the signature can be known. `spin(n, m)` loops n times, and then calls `fd_write` m times.
(module $program
  (type $sizes (func (param i32 i32) (result i32)))
  (type $transfer (func (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (type $transfer)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (type $transfer)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (type $sizes)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (type $sizes)))
  (memory (export "memory") 1)
  (table 1 1 funcref)
  (elem (i32.const 0) $fd_write)
  (func $read_last (type $transfer)
    (return_call $fd_read (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
  (func $indirectly
    (drop (call_indirect (type $transfer) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))))
  (func $write (param $n i32)
    (loop $l
      (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "run") (param $n i32)
    (call $write (local.get $n))
    (drop (call $fd_read (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))
    (drop (call $fd_read (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))
    (drop (call $environ_sizes_get (i32.const 0) (i32.const 4)))
    (call $indirectly) (call $indirectly) (call $indirectly)
    (drop (call $read_last (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0))))
  (func (export "spin") (param $n i32) (param $m i32)
    (loop $l (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (call $write (local.get $m))))
