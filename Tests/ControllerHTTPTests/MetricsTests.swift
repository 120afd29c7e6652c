import ControllerHTTP
import Testing

@Suite struct MetricsTests {
    let registry = MetricsRegistry()

    @Test func `Metrics are written by name, samples by their labels`() {
        let releases = registry.counters(
            "berth_releases_total", help: "Addresses released,\nby reason.",
            labels: [.oneOf("reason", ["podGone", "cooled"])])
        releases["cooled"].increment(by: 2)
        registry.gauge("berth_leader", help: "1 while this replica leads.").set(true)
        let waits = registry.histogram("berth_wait_seconds", help: "Waits.", upperBounds: [0.5, 1])
        for value in [0.25, 0.5, 1, 7] { waits.observe(value) }
        #expect(
            registry.render() == #"""
                # HELP berth_leader 1 while this replica leads.
                # TYPE berth_leader gauge
                berth_leader 1
                # HELP berth_releases_total Addresses released,\nby reason.
                # TYPE berth_releases_total counter
                berth_releases_total{reason="cooled"} 2
                berth_releases_total{reason="podGone"} 0
                # HELP berth_wait_seconds Waits.
                # TYPE berth_wait_seconds histogram
                berth_wait_seconds_bucket{le="0.5"} 2
                berth_wait_seconds_bucket{le="1"} 3
                berth_wait_seconds_bucket{le="+Inf"} 4
                berth_wait_seconds_sum 8.75
                berth_wait_seconds_count 4

                """#)
    }

    @Test func `Nothing declared is nothing written`() {
        #expect(registry.render().isEmpty)
    }

    @Test func `The labels of a histogram stand in front of its bounds`() {
        let waits = registry.histograms(
            "w", help: "W.", upperBounds: [1], labels: [.oneOf("queue", ["a", "b"]), .first(1, "x")])
        waits["b", "\""].observe(.milliseconds(1500))
        let lines = registry.render().split(separator: "\n").dropFirst(2)
        #expect(
            Array(lines) == [
                #"w_bucket{queue="b",x="\"",le="1"} 0"#, #"w_bucket{queue="b",x="\"",le="+Inf"} 1"#,
                #"w_sum{queue="b",x="\""} 1.5"#, #"w_count{queue="b",x="\""} 1"#,
            ])
    }

    @Test func `A value that was not declared counts as another one`() {
        let requests = registry.counters(
            "r", help: "R.", labels: [.oneOf("verb", ["get"]), .first(2, "code")])
        for code in ["200", "409", "500", "503", "200"] { requests["get", code].increment() }
        requests["brew", "418"].increment()
        #expect(
            registry.render().split(separator: "\n").dropFirst(2) == [
                #"r{verb="get",code="200"} 2"#, #"r{verb="get",code="409"} 1"#, #"r{verb="get",code="other"} 2"#,
                #"r{verb="other",code="other"} 1"#,
            ])
        #expect(requests["get", "504"] === requests["get", "505"])
    }

    @Test func `The number of series stays bounded`() {
        let family = registry.counters("c", help: "C.", labels: [.first(5, "a"), .first(3, "b")])
        for number in 0..<1000 { family["\(number)", "\(number * 7)"].increment() }
        #expect(registry.render().split(separator: "\n").count - 2 <= 6 * 4)
    }

    @Test func `A gauge goes up and down`() {
        let gauge = registry.gauge("g", help: "G.")
        gauge.set(2.5)
        gauge.add(-4)
        #expect(gauge.value == -1.5)
        gauge.set(7)
        #expect(registry.render().hasSuffix("\ng 7\n"))
    }

    @Test func `What is not a number leaves a histogram as it is`() {
        let histogram = registry.histogram("h", help: "H.", upperBounds: [1])
        histogram.observe(.nan)
        histogram.observe(-1)
        #expect(registry.render().hasSuffix("h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum -1\nh_count 1\n"))
    }

    @Test func `Updates from many threads are all counted`() async {
        let counters = registry.counters("c", help: "C.", labels: [.oneOf("a", ["x"])])
        let gauge = registry.gauge("g", help: "G.")
        let histogram = registry.histogram("h", help: "H.", upperBounds: [1])
        await withDiscardingTaskGroup { group in
            for _ in 0..<8 {
                group.addTask {
                    for _ in 0..<500 {
                        counters["x"].increment()
                        gauge.add(1)
                        histogram.observe(0.5)
                    }
                }
            }
        }
        #expect(counters["x"].value == 4000)
        #expect(gauge.value == 4000)
        #expect(registry.render().contains("h_sum 2000\nh_count 4000\n"))
    }

    @Test func `What is collected is computed at each scrape`() {
        let total = registry.counter("c", help: "C.")
        registry.collect("pool_free", help: "Free.", labels: ["pool"]) {
            [CollectedSample(labels: ["red"], value: Int(total.value)), CollectedSample(labels: ["blue"], value: 1.5)]
        }
        registry.collect("up_seconds", help: "Up.", isCounter: true) { [CollectedSample(value: 3)] }
        #expect(registry.render().contains("pool_free{pool=\"blue\"} 1.5\npool_free{pool=\"red\"} 0\n"))
        total.increment(by: 9)
        #expect(registry.render().contains("pool_free{pool=\"red\"} 9\n"))
        #expect(registry.render().hasSuffix("# TYPE up_seconds counter\nup_seconds 3\n"))
    }

    @Test func `Samples that would spoil a scrape are left out`() {
        registry.collect("p", help: "P.", labels: ["pool"], limit: 3) {
            ["d", "a", "c", "a", "b"].map { CollectedSample(labels: [$0], value: 1) }
                + [CollectedSample(value: 1), CollectedSample(labels: ["a", "b"], value: 1)]
        }
        #expect(
            registry.render().split(separator: "\n").dropFirst(2) == [
                "p{pool=\"a\"} 1", "p{pool=\"b\"} 1", "p{pool=\"c\"} 1",
            ])
    }
}
