//! The configurations of collectors in `examples/collectors` are what these read, and name what there is here.
#![allow(missing_docs, reason = "tests")]

mod support;

use witprof::PPROF_PATH;
use yaml_rust2::{Yaml, YamlLoader};

fn text(name: &str) -> String {
    String::from_utf8(support::read(&support::root().join("examples/collectors").join(name))).expect("UTF-8")
}

fn yaml(name: &str) -> Yaml {
    let mut documents = YamlLoader::load_from_str(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(documents.len(), 1, "{name}");
    documents.remove(0)
}

/// Keys of a table, all of which a collector has to know.
fn keys(table: &Yaml) -> Vec<&str> {
    table.as_hash().expect("a table").keys().map(|key| key.as_str().expect("a text")).collect()
}

#[test]
fn parca_scrapes_profiles() {
    let config = yaml("parca.yaml");
    // Parca refuses what it does not know.
    assert_eq!(keys(&config), ["object_storage", "scrape_configs"]);
    let job = &config["scrape_configs"][0];
    assert_eq!(keys(job), ["job_name", "scrape_interval", "static_configs", "profiling_config"]);
    let profiles = &job["profiling_config"]["pprof_config"];
    let cpu = &profiles["process_cpu"];
    assert_eq!((cpu["path"].as_str(), cpu["delta"].as_bool()), (Some(PPROF_PATH), Some(true)));
    for other in keys(profiles).iter().filter(|name| **name != "process_cpu") {
        assert_eq!(profiles[*other]["enabled"].as_bool(), Some(false), "{other}");
    }
    let target = job["static_configs"][0]["targets"][0].as_str().expect("a target");
    assert!(target.parse::<std::net::SocketAddr>().is_ok(), "{target} is no URL");
}

#[test]
fn the_collector_gets_profiles() {
    let config = yaml("otel-collector.yaml");
    let pipeline = &config["service"]["pipelines"]["profiles"];
    for (part, of) in [("receivers", "otlp"), ("exporters", "debug")] {
        assert_eq!(pipeline[part][0].as_str(), Some(of));
        assert!(keys(&config[part]).contains(&of), "{of} is not configured");
    }
    assert!(pipeline["processors"].is_badvalue(), "there is none for profiles");
    let endpoint = config["receivers"]["otlp"]["protocols"]["http"]["endpoint"].as_str();
    assert_eq!(endpoint, Some("127.0.0.1:4318"));
    assert!(text("otel-collector.yaml").contains("--feature-gates=service.profilesSupport"));
}

#[test]
fn prometheus_reads_metrics() {
    let job = &yaml("prometheus.yml")["scrape_configs"][0];
    assert_eq!(job["metrics_path"].as_str(), Some("/metrics"));
    assert!(job["static_configs"][0]["targets"][0].as_str().is_some());
}

#[test]
fn alloy_scrapes_profiles() {
    let config = text("config.alloy");
    let lines: Vec<&str> = config.lines().map(str::trim).filter(|line| !line.starts_with("//")).collect();
    let count = |end: char| lines.iter().filter(|line| line.ends_with(end)).count();
    assert_eq!(count('{'), lines.iter().filter(|line| **line == "}").count(), "each block is closed");
    assert!(lines.contains(&format!("path    = \"{PPROF_PATH}\"").as_str()));
    // What is forwarded to is there.
    assert!(config.contains("[pyroscope.write.local.receiver]") && config.contains("pyroscope.write \"local\" {"));
    for block in ["memory", "block", "goroutine", "mutex"] {
        let at = lines.iter().position(|line| *line == format!("profile.{block} {{")).expect(block);
        assert_eq!(lines[at + 1], "enabled = false", "{block}");
    }
}
