//! The engines that are known. Made by `tests/engines/make.py`, which says how each was proved.

use super::engines::{Engine, hex};
use super::layout::{FIREFOX_127, FIREFOX_140, FIREFOX_147};

/// By the versions of componentize-js that have them.
pub(super) const ENGINES: &[Engine] = &[
    // 0.18.0, 0.18.1, 0.18.2 release
    Engine {
        constants: hex("8fe739cc0bb768dba3c058395ba2e7e178ed3d0d24df087d0805dc4994f58d84"),
        context: 2_270_420,
        targets: 201,
        layout: &FIREFOX_127,
    },
    // 0.18.0, 0.18.1, 0.18.2 debug
    Engine {
        constants: hex("a726b840e37adb826419f8ef26733c3d87b13df6cd9c191d4fbeec58fef3eeea"),
        context: 2_270_420,
        targets: 201,
        layout: &FIREFOX_127,
    },
    // 0.18.3 release
    Engine {
        constants: hex("8485b7c8130b9f429f313b99fa971f160698cde8f155581a4de683089f1783d2"),
        context: 2_271_700,
        targets: 201,
        layout: &FIREFOX_127,
    },
    // 0.18.3 debug
    Engine {
        constants: hex("651b2580df825c1bc3eadc2b491e9f09b4a6e0e0206d19bb2c254472488b6c2f"),
        context: 2_271_636,
        targets: 201,
        layout: &FIREFOX_127,
    },
    // 0.18.4, 0.18.5 release
    Engine {
        constants: hex("c89d4458e0728fbff92fd1161d79e3d6ed87a2cedfda29f66913b8859be27efc"),
        context: 2_273_476,
        targets: 201,
        layout: &FIREFOX_127,
    },
    // 0.18.4, 0.18.5 debug
    Engine {
        constants: hex("8de1c0ad4154fa564c7088dcd4fbc855900f36128e2933f40e4ee5ae3eb80309"),
        context: 2_273_476,
        targets: 201,
        layout: &FIREFOX_127,
    },
    // 0.19.0, 0.19.1 release
    Engine {
        constants: hex("58adcedb0cff38dc72085754f99ef39aad863cb25ce59fcfb7fbf4276acc9c2a"),
        context: 2_244_416,
        targets: 204,
        layout: &FIREFOX_140,
    },
    // 0.19.0, 0.19.1 debug
    Engine {
        constants: hex("8f1dfe746e42217a23ab4f41451a7262433962276633f857c78cd40057f21565"),
        context: 2_244_416,
        targets: 204,
        layout: &FIREFOX_140,
    },
    // 0.19.2, 0.19.3 release
    Engine {
        constants: hex("7cda873d74550c4a9934a26aa56f90c69b22b058d5affaac76e0bed602d44a38"),
        context: 2_244_864,
        targets: 204,
        layout: &FIREFOX_140,
    },
    // 0.19.2, 0.19.3 debug
    Engine {
        constants: hex("dd7fc07b0b296a104132b1ff1f5caf977119d447947cdfa2b072c60cdf194cb7"),
        context: 2_244_800,
        targets: 204,
        layout: &FIREFOX_140,
    },
    // 0.20.0, 0.21.0, 0.22.0 release
    Engine {
        constants: hex("bf777a9321587fe8f8fa67970b43e2b2407c8556ad07230d60b2b025b7f86e23"),
        context: 2_393_492,
        targets: 207,
        layout: &FIREFOX_147,
    },
    // 0.20.0, 0.21.0, 0.22.0 debug
    Engine {
        constants: hex("0f1eff267eb6d451a1bc90e691671ed328d0eac39577f8f75f986c0e46258733"),
        context: 2_393_492,
        targets: 207,
        layout: &FIREFOX_147,
    },
    // 0.23.0 release
    Engine {
        constants: hex("3987faaa3a809ab697d75c89c9248ba425feffa237e49ab7c4fcb546c7e5180e"),
        context: 2_393_556,
        targets: 207,
        layout: &FIREFOX_147,
    },
    // 0.23.0 debug
    Engine {
        constants: hex("54fe9bc26c8de74489d42500eec6a365dfe8a9d77e4d11b6acede720cb034fc3"),
        context: 2_393_492,
        targets: 207,
        layout: &FIREFOX_147,
    },
];
