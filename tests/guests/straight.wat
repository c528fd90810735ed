;; Work of known proportions. `phases` calls $phase_a, $phase_b and $phase_c once each, in turn; each runs the same loop
;; body (9 dependent operations, without calls or memory) as often as its argument says, so that phases(30k, 50k, 20k)
;; spends 30:50:20 of its time in the three. `straight` calls $straight, which is 200 dependent multiplications and 200
;; rotations without any loop, branch or call, as often as its argument says, from the loop of $straight_caller. Every
;; result depends on every step before.
;;
;; Imports: none.
;; Exports: run: func() -> u32 = 386343335  (phases(3, 5, 2) ^ straight(2))
;;          phases: func(a: u32, b: u32, c: u32) -> u32
;;            phases(0, 0, 0) = 0, phases(3, 5, 2) = 1697176647,
;;            phases(30, 50, 20) = 1793164639, phases(3000, 5000, 2000) = 328950485
;;          straight: func(rounds: u32) -> u32
;;            straight(0) = 2290649224, straight(1) = 4056668335, straight(2) = 1915747808,
;;            straight(1000) = 990943580
;; Features: none beyond the component model. On by default in Wasmtime 48: no -W is needed.
(component $straight-guest
  (core module $main
    (func $phase_a (param $n i32) (param $x i64) (result i64)
      (block $done
        (br_if $done (i32.eqz (local.get $n)))
        (loop $again
          (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 13))))
          (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 7))))
          (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 17))))
          (local.set $x (i64.rotl
            (i64.add (i64.mul (local.get $x) (i64.const 0x2545f4914f6cdd1d)) (i64.const 0x9e3779b97f4a7c15))
            (i64.const 11)))
          (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
      (local.get $x))
    (func $phase_b (param $n i32) (param $x i64) (result i64)
      (block $done
        (br_if $done (i32.eqz (local.get $n)))
        (loop $again
          (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 13))))
          (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 7))))
          (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 17))))
          (local.set $x (i64.rotl
            (i64.add (i64.mul (local.get $x) (i64.const 0x2545f4914f6cdd1d)) (i64.const 0x9e3779b97f4a7c15))
            (i64.const 11)))
          (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
      (local.get $x))
    (func $phase_c (param $n i32) (param $x i64) (result i64)
      (block $done
        (br_if $done (i32.eqz (local.get $n)))
        (loop $again
          (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 13))))
          (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 7))))
          (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 17))))
          (local.set $x (i64.rotl
            (i64.add (i64.mul (local.get $x) (i64.const 0x2545f4914f6cdd1d)) (i64.const 0x9e3779b97f4a7c15))
            (i64.const 11)))
          (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
      (local.get $x))
    (func $fold (param $x i64) (result i32)
      (i32.wrap_i64 (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 32)))))
    (func $phases (export "phases") (param $a i32) (param $b i32) (param $c i32) (result i32)
      (local $x i64)
      (local.set $x (call $phase_a (local.get $a) (i64.const 1)))
      (local.set $x (call $phase_b (local.get $b) (i64.xor (local.get $x) (i64.const 0xa))))
      (local.set $x (call $phase_c (local.get $c) (i64.xor (local.get $x) (i64.const 0xb))))
      (call $fold (local.get $x)))
    (func $straight (param $x i64) (result i64)
      local.get $x
      i64.const -7134919594203437457 i64.mul i64.const 24 i64.rotl
      i64.const 2555601105289669629 i64.mul i64.const 12 i64.rotl
      i64.const -5964873262980202667 i64.mul i64.const 1 i64.rotl
      i64.const -9172051754649616329 i64.mul i64.const 30 i64.rotl
      i64.const -7292019604711875811 i64.mul i64.const 6 i64.rotl
      i64.const -8222258696806033181 i64.mul i64.const 60 i64.rotl
      i64.const -5532209837886355719 i64.mul i64.const 3 i64.rotl
      i64.const 6991677633929596525 i64.mul i64.const 11 i64.rotl
      i64.const -992150069558424985 i64.mul i64.const 29 i64.rotl
      i64.const -5071648746563534251 i64.mul i64.const 28 i64.rotl
      i64.const 3106947753116922791 i64.mul i64.const 16 i64.rotl
      i64.const 2046620674895919639 i64.mul i64.const 9 i64.rotl
      i64.const -2366248307558524613 i64.mul i64.const 60 i64.rotl
      i64.const -7555261323866465879 i64.mul i64.const 5 i64.rotl
      i64.const -5747253923392874645 i64.mul i64.const 25 i64.rotl
      i64.const -4683716615204576057 i64.mul i64.const 57 i64.rotl
      i64.const -1495008468111261179 i64.mul i64.const 19 i64.rotl
      i64.const -6009285091678206933 i64.mul i64.const 15 i64.rotl
      i64.const -3818556227487013835 i64.mul i64.const 27 i64.rotl
      i64.const 1618007835985789363 i64.mul i64.const 50 i64.rotl
      i64.const -1634763782636394847 i64.mul i64.const 14 i64.rotl
      i64.const 5186936983225882133 i64.mul i64.const 22 i64.rotl
      i64.const 796801949683685349 i64.mul i64.const 13 i64.rotl
      i64.const -2095555050805659963 i64.mul i64.const 1 i64.rotl
      i64.const 7585074173074905595 i64.mul i64.const 4 i64.rotl
      i64.const 6987929201941936977 i64.mul i64.const 55 i64.rotl
      i64.const 2566732080937488905 i64.mul i64.const 2 i64.rotl
      i64.const 7834799838240345589 i64.mul i64.const 48 i64.rotl
      i64.const -2753515611315599665 i64.mul i64.const 8 i64.rotl
      i64.const -7436885252141119757 i64.mul i64.const 1 i64.rotl
      i64.const -4346732745296636213 i64.mul i64.const 38 i64.rotl
      i64.const -1931310530029779437 i64.mul i64.const 55 i64.rotl
      i64.const 6091422988597152591 i64.mul i64.const 1 i64.rotl
      i64.const 1540369584794190229 i64.mul i64.const 9 i64.rotl
      i64.const -1518951555990137729 i64.mul i64.const 2 i64.rotl
      i64.const 1564958399730591399 i64.mul i64.const 37 i64.rotl
      i64.const -8530002448714402323 i64.mul i64.const 59 i64.rotl
      i64.const 7749614195460251749 i64.mul i64.const 5 i64.rotl
      i64.const 3544809258978388473 i64.mul i64.const 41 i64.rotl
      i64.const 1723254235217286669 i64.mul i64.const 45 i64.rotl
      i64.const 2681366931699517537 i64.mul i64.const 12 i64.rotl
      i64.const -7214736572895121063 i64.mul i64.const 47 i64.rotl
      i64.const 760007352045066435 i64.mul i64.const 4 i64.rotl
      i64.const -8207681058387370957 i64.mul i64.const 44 i64.rotl
      i64.const -2730344903992424977 i64.mul i64.const 10 i64.rotl
      i64.const 4949456066695012923 i64.mul i64.const 48 i64.rotl
      i64.const -7834670064808708555 i64.mul i64.const 3 i64.rotl
      i64.const -2422794263788004887 i64.mul i64.const 46 i64.rotl
      i64.const -905314915982405609 i64.mul i64.const 58 i64.rotl
      i64.const 2983571244468536193 i64.mul i64.const 40 i64.rotl
      i64.const 793777028678672177 i64.mul i64.const 48 i64.rotl
      i64.const -2846963154126196375 i64.mul i64.const 44 i64.rotl
      i64.const -7558386567423350917 i64.mul i64.const 37 i64.rotl
      i64.const -5760666427651665183 i64.mul i64.const 6 i64.rotl
      i64.const 6404675529241003391 i64.mul i64.const 8 i64.rotl
      i64.const -2182092550889703551 i64.mul i64.const 38 i64.rotl
      i64.const 8325015706468213739 i64.mul i64.const 14 i64.rotl
      i64.const 3666699468783526421 i64.mul i64.const 61 i64.rotl
      i64.const -4691019692619449447 i64.mul i64.const 2 i64.rotl
      i64.const -3700972999508066995 i64.mul i64.const 39 i64.rotl
      i64.const 11343637105769167 i64.mul i64.const 28 i64.rotl
      i64.const 3937037078652051191 i64.mul i64.const 15 i64.rotl
      i64.const 4973930618710322857 i64.mul i64.const 21 i64.rotl
      i64.const 1638376391647960007 i64.mul i64.const 20 i64.rotl
      i64.const 5255236451815625757 i64.mul i64.const 7 i64.rotl
      i64.const -3982674573803182109 i64.mul i64.const 4 i64.rotl
      i64.const 7035252840087947211 i64.mul i64.const 50 i64.rotl
      i64.const -3550079218388261683 i64.mul i64.const 28 i64.rotl
      i64.const 6384024508848738037 i64.mul i64.const 46 i64.rotl
      i64.const 4579604119305374133 i64.mul i64.const 37 i64.rotl
      i64.const 1222652754251772851 i64.mul i64.const 28 i64.rotl
      i64.const 4260336925935251755 i64.mul i64.const 7 i64.rotl
      i64.const -4413583138839749955 i64.mul i64.const 26 i64.rotl
      i64.const 6880071709509505087 i64.mul i64.const 62 i64.rotl
      i64.const -8108014037647589067 i64.mul i64.const 24 i64.rotl
      i64.const -6133443280704215445 i64.mul i64.const 19 i64.rotl
      i64.const -5669688775122709889 i64.mul i64.const 54 i64.rotl
      i64.const 4776084472491794771 i64.mul i64.const 2 i64.rotl
      i64.const -1116560573255004069 i64.mul i64.const 63 i64.rotl
      i64.const 3186788505007229569 i64.mul i64.const 17 i64.rotl
      i64.const 3029223133510833447 i64.mul i64.const 8 i64.rotl
      i64.const 2736008386222447799 i64.mul i64.const 1 i64.rotl
      i64.const 1123604289982292627 i64.mul i64.const 29 i64.rotl
      i64.const -3936922972880179623 i64.mul i64.const 25 i64.rotl
      i64.const -7165662086069797511 i64.mul i64.const 1 i64.rotl
      i64.const -3713586126227231713 i64.mul i64.const 23 i64.rotl
      i64.const 2594433214654607537 i64.mul i64.const 31 i64.rotl
      i64.const 5123153184832538887 i64.mul i64.const 9 i64.rotl
      i64.const 1597271433543068307 i64.mul i64.const 48 i64.rotl
      i64.const 5460427002237640863 i64.mul i64.const 45 i64.rotl
      i64.const 1210049062685948385 i64.mul i64.const 27 i64.rotl
      i64.const 2629040434047810253 i64.mul i64.const 46 i64.rotl
      i64.const -4350291050794165975 i64.mul i64.const 51 i64.rotl
      i64.const -7596860240813074319 i64.mul i64.const 57 i64.rotl
      i64.const 3118973037253277801 i64.mul i64.const 43 i64.rotl
      i64.const 5057271763015618497 i64.mul i64.const 50 i64.rotl
      i64.const -2208892018386017177 i64.mul i64.const 39 i64.rotl
      i64.const 6435532870501226609 i64.mul i64.const 7 i64.rotl
      i64.const 893922297584689425 i64.mul i64.const 18 i64.rotl
      i64.const 2367531953174997123 i64.mul i64.const 12 i64.rotl
      i64.const -6831129469220770375 i64.mul i64.const 53 i64.rotl
      i64.const 2992520272031178371 i64.mul i64.const 50 i64.rotl
      i64.const 4102700996737001627 i64.mul i64.const 55 i64.rotl
      i64.const 3742735510831162945 i64.mul i64.const 12 i64.rotl
      i64.const 8424582025335288565 i64.mul i64.const 38 i64.rotl
      i64.const -8383930353010953369 i64.mul i64.const 25 i64.rotl
      i64.const 3192204550136946357 i64.mul i64.const 36 i64.rotl
      i64.const -7509086012393888621 i64.mul i64.const 61 i64.rotl
      i64.const -8569807407756136369 i64.mul i64.const 5 i64.rotl
      i64.const -6436735824544909917 i64.mul i64.const 2 i64.rotl
      i64.const -126288648940452765 i64.mul i64.const 38 i64.rotl
      i64.const 8038156805816524411 i64.mul i64.const 35 i64.rotl
      i64.const -8789957947862352995 i64.mul i64.const 34 i64.rotl
      i64.const -6611026531160361759 i64.mul i64.const 59 i64.rotl
      i64.const 1209721625882034561 i64.mul i64.const 57 i64.rotl
      i64.const -7860611153392616971 i64.mul i64.const 35 i64.rotl
      i64.const 5539892244050833957 i64.mul i64.const 5 i64.rotl
      i64.const 4137461047253849179 i64.mul i64.const 47 i64.rotl
      i64.const 1903889733674605647 i64.mul i64.const 7 i64.rotl
      i64.const 9069652226872690717 i64.mul i64.const 30 i64.rotl
      i64.const 9042883681541779909 i64.mul i64.const 57 i64.rotl
      i64.const -5026726692828033369 i64.mul i64.const 4 i64.rotl
      i64.const -7324871990890373129 i64.mul i64.const 2 i64.rotl
      i64.const 4494390927032731765 i64.mul i64.const 57 i64.rotl
      i64.const 4263140061298134815 i64.mul i64.const 24 i64.rotl
      i64.const -691250205089589257 i64.mul i64.const 47 i64.rotl
      i64.const -6917787311627597501 i64.mul i64.const 32 i64.rotl
      i64.const 4484510666165037675 i64.mul i64.const 3 i64.rotl
      i64.const -7434790065481916997 i64.mul i64.const 6 i64.rotl
      i64.const 865348531668354487 i64.mul i64.const 44 i64.rotl
      i64.const 7501856890480373837 i64.mul i64.const 38 i64.rotl
      i64.const 1489343857952271451 i64.mul i64.const 13 i64.rotl
      i64.const -7228984482249081203 i64.mul i64.const 49 i64.rotl
      i64.const 1557143709658285863 i64.mul i64.const 5 i64.rotl
      i64.const 6544798262445283651 i64.mul i64.const 40 i64.rotl
      i64.const -8356060929084767499 i64.mul i64.const 35 i64.rotl
      i64.const 479092522891674269 i64.mul i64.const 46 i64.rotl
      i64.const 1389307157765948933 i64.mul i64.const 22 i64.rotl
      i64.const -4006249109984354859 i64.mul i64.const 21 i64.rotl
      i64.const 8556509906703854759 i64.mul i64.const 62 i64.rotl
      i64.const -7558641297951820323 i64.mul i64.const 10 i64.rotl
      i64.const 7122104590500302647 i64.mul i64.const 31 i64.rotl
      i64.const 2543941538525830033 i64.mul i64.const 7 i64.rotl
      i64.const 6433550302422974209 i64.mul i64.const 43 i64.rotl
      i64.const 8328398168730865267 i64.mul i64.const 50 i64.rotl
      i64.const 3544777131468788493 i64.mul i64.const 62 i64.rotl
      i64.const 2006544666498798719 i64.mul i64.const 8 i64.rotl
      i64.const 2215289332015547117 i64.mul i64.const 5 i64.rotl
      i64.const -6542700072274405337 i64.mul i64.const 63 i64.rotl
      i64.const 6870082129139730949 i64.mul i64.const 7 i64.rotl
      i64.const 432650686182054913 i64.mul i64.const 30 i64.rotl
      i64.const -8817294391134265357 i64.mul i64.const 13 i64.rotl
      i64.const -2318253895449130497 i64.mul i64.const 41 i64.rotl
      i64.const 4356257055188012161 i64.mul i64.const 1 i64.rotl
      i64.const -4365317158400353023 i64.mul i64.const 34 i64.rotl
      i64.const 3640605018224775829 i64.mul i64.const 1 i64.rotl
      i64.const 4671908299391832531 i64.mul i64.const 61 i64.rotl
      i64.const 410144000429422737 i64.mul i64.const 62 i64.rotl
      i64.const -8864682708883810609 i64.mul i64.const 52 i64.rotl
      i64.const 1066282193447980883 i64.mul i64.const 58 i64.rotl
      i64.const 8772864590314800117 i64.mul i64.const 55 i64.rotl
      i64.const -7281794234977744847 i64.mul i64.const 56 i64.rotl
      i64.const -6660326069813388197 i64.mul i64.const 4 i64.rotl
      i64.const 5076241611212629605 i64.mul i64.const 9 i64.rotl
      i64.const 717422653989096461 i64.mul i64.const 52 i64.rotl
      i64.const -450945138344422999 i64.mul i64.const 23 i64.rotl
      i64.const -339430488931682407 i64.mul i64.const 58 i64.rotl
      i64.const -1278712470680565001 i64.mul i64.const 1 i64.rotl
      i64.const -416584636804153397 i64.mul i64.const 59 i64.rotl
      i64.const -598810897523155823 i64.mul i64.const 55 i64.rotl
      i64.const 543575145901168561 i64.mul i64.const 21 i64.rotl
      i64.const 4559724118692809419 i64.mul i64.const 27 i64.rotl
      i64.const 5935217477895776839 i64.mul i64.const 32 i64.rotl
      i64.const 6399944234911815549 i64.mul i64.const 57 i64.rotl
      i64.const -1983656489175452635 i64.mul i64.const 26 i64.rotl
      i64.const 3854122302578490441 i64.mul i64.const 6 i64.rotl
      i64.const 5550399346048066849 i64.mul i64.const 30 i64.rotl
      i64.const -7185579923150223909 i64.mul i64.const 60 i64.rotl
      i64.const 8410049183557692651 i64.mul i64.const 29 i64.rotl
      i64.const 3437269028791442667 i64.mul i64.const 22 i64.rotl
      i64.const 1086115385988896529 i64.mul i64.const 21 i64.rotl
      i64.const 3146418261768397525 i64.mul i64.const 21 i64.rotl
      i64.const 495537265770746657 i64.mul i64.const 13 i64.rotl
      i64.const -5319995449698258341 i64.mul i64.const 24 i64.rotl
      i64.const -1906643792134100341 i64.mul i64.const 9 i64.rotl
      i64.const -6910681789156051567 i64.mul i64.const 6 i64.rotl
      i64.const -462810191008818253 i64.mul i64.const 29 i64.rotl
      i64.const -7257766823639469537 i64.mul i64.const 39 i64.rotl
      i64.const -1096939291281951051 i64.mul i64.const 57 i64.rotl
      i64.const -4915127516595432543 i64.mul i64.const 25 i64.rotl
      i64.const -5589224100257897637 i64.mul i64.const 35 i64.rotl
      i64.const 6186484631776861289 i64.mul i64.const 5 i64.rotl
      i64.const -6091610321231468391 i64.mul i64.const 36 i64.rotl
      i64.const 8680983931937136549 i64.mul i64.const 15 i64.rotl
      i64.const -5031641367081803387 i64.mul i64.const 21 i64.rotl
      i64.const -3070086750688630781 i64.mul i64.const 52 i64.rotl
      i64.const -9180050993044328317 i64.mul i64.const 7 i64.rotl
      i64.const -5221935126135004169 i64.mul i64.const 1 i64.rotl
      i64.const -1518776026067412117 i64.mul i64.const 35 i64.rotl
      i64.const 1317559086686048085 i64.mul i64.const 15 i64.rotl)
    (func $straight_caller (export "straight") (param $rounds i32) (result i32)
      (local $i i32) (local $x i64)
      (local.set $x (i64.const 0x123456789abcdef))
      (block $done
        (loop $again
          (br_if $done (i32.ge_u (local.get $i) (local.get $rounds)))
          (local.set $x (call $straight (i64.xor (local.get $x) (i64.extend_i32_u (local.get $i)))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br $again)))
      (call $fold (local.get $x)))
    (func $run (export "run") (result i32)
      (i32.xor
        (call $phases (i32.const 3) (i32.const 5) (i32.const 2))
        (call $straight_caller (i32.const 2)))))
  (core instance $i (instantiate $main))
  (func (export "run") (result u32) (canon lift (core func $i "run")))
  (func (export "phases") (param "a" u32) (param "b" u32) (param "c" u32) (result u32)
    (canon lift (core func $i "phases")))
  (func (export "straight") (param "rounds" u32) (result u32) (canon lift (core func $i "straight"))))
