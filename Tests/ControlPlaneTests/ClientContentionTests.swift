import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// The optimistic-concurrency combinator, with others at the same object.
@Suite("Client: contention", .controlPlane, .timeLimit(.minutes(5)))
struct ClientContentionTests {
    /// What a writer reports.
    struct Report: Sendable {
        var written: [String] = []
        var givenUp = 0
    }

    @Test func `of many writers of one object none loses an update`() async throws {
        try await ClientBench.run { bench in
            try await bench.makeConfigMap("", ["count": "0"])
            let gate = Gate()
            // All have read the same state before the first of them writes.
            bench.proxy.when(.method("GET"), .first(8), .holdAnswer(gate))
            let reports = try await bench.write(writers: 8, each: 6) {
                try await gate.reached(8); gate.open()
            }
            let object = try #require(try await bench.readConfigMap())
            let written = reports.flatMap(\.written)
            #expect(object["data"]?["count"]?.string == "\(written.count)")
            for key in written { #expect(object["data"]?[key]?.string == "here", "\(key)") }
            #expect(object["data"]?.object?.count == written.count + 1, "and nothing that nobody reports")
            #expect(written.count >= 8, "\(reports)")
            let conflicts = bench.proxy.log.count { $0.request.method == "PATCH" && $0.fate.serverStatus == 409 }
            #expect(conflicts >= 7)
        }
    }

    @Test func `nor when answers are lost, refused and cut`() async throws {
        try await ClientBench.run { bench in
            try await bench.makeConfigMap("", ["count": "0"])
            let writes = RequestMatcher.method("PATCH")
            for (number, action) in [
                FaultAction.dropAnswer(.stream), .internalError, .dropBeforeForward(.stream), .conflict,
                .tooManyRequests(retryAfterSeconds: 0), .cutAnswer(afterBytes: 30, .stream), .html(status: 503),
            ].enumerated() {
                let some = RequestMatcher("every seventh") { $0.number % 7 == number }
                bench.proxy.when(writes && some, .first(4), action)
            }
            let reports = try await bench.write(writers: 4, each: 6) {}
            let object = try #require(try await bench.readConfigMap())
            let written = reports.flatMap(\.written)
            #expect(object["data"]?["count"]?.string == "\(written.count)")
            for key in written { #expect(object["data"]?[key]?.string == "here", "\(key)") }
            #expect(object["data"]?.object?.count == written.count + 1, "and nothing that nobody reports")
            #expect(written.count >= 8, "\(reports)")
        }
    }

    @Test func `an object that is replaced between read and write is not written to`() async throws {
        try await ClientBench.run { bench in
            let first = try await bench.makeConfigMap("", ["who": "first"]).metadataValue
            let (gate, name) = (Gate(), bench.name)
            bench.proxy.when(.method("GET"), .first(1), .holdAnswer(gate))
            async let outcome = bench.withClient { client in
                try client.modify(.configMaps, namespace: "default", name: name, deadline: .soon) { object in
                    object["data"]?["who"]?.string == "first" ? .patch(.merge(["data": ["seen": "yes"]])) : .leave
                }
            }
            try await gate.reached()
            try await bench.controlPlane.withAdmin { client in
                _ = try client.delete(
                    .configMaps, namespace: "default", name: name, preconditions: Preconditions(uid: first.uid),
                    deadline: .soon)
            }
            try await bench.makeConfigMap("", ["who": "second"])
            gate.open()
            #expect(try await outcome == .left)
            #expect(try await bench.readConfigMap()?["data"] == ["who": "second"])
        }
    }

    @Test(arguments: [true, false])
    func `a change whose answer is lost is recognised and not made twice`(isCommitted: Bool) async throws {
        try await ClientBench.run { bench in
            try await bench.makeConfigMap("", ["count": "0"])
            bench.proxy.when(.mutation, .first(1), isCommitted ? .dropAnswer() : .dropBeforeForward())
            let reports = try await bench.write(writers: 1, each: 1) {}
            #expect(reports.map(\.written) == [["w0-0"]])
            #expect(try await bench.readConfigMap()?["data"] == ["count": "1", "w0-0": "here"])
        }
    }

    @Test func `an update, a delete and what is left alone end as such`() async throws {
        try await ClientBench.run { bench in
            try await bench.makeConfigMap("", ["a": "1"])
            let name = bench.name
            try await bench.withClient { client in
                let type = ResourceType.configMaps
                let updated = try client.modify(type, namespace: "default", name: name, deadline: .soon) { object in
                    var object = object
                    object["data"] = ["a": "2"]
                    return .update(object)
                }
                guard case .done(let written?) = updated else { throw TestSetUpError("\(updated)") }
                #expect(written["data"] == ["a": "2"])
                #expect(
                    try client.modify(type, namespace: "default", name: name, deadline: .soon) { _ in .leave } == .left)
                #expect(
                    try client.modify(type, namespace: "default", name: name, deadline: .soon) { _ in .delete }
                        == .done(nil))
                #expect(
                    try client.modify(type, namespace: "default", name: name, deadline: .soon) { _ in .delete } == .gone
                )
            }
        }
    }
}

extension ClientBench {
    /// Lets writers count up and each enter keys of its own, all in one object, and gives what they believe to have
    /// written.
    fileprivate func write(
        writers: Int, each count: Int, meanwhile: @escaping @Sendable () async throws -> Void
    ) async throws -> [ClientContentionTests.Report] {
        try await withThrowingTaskGroup(of: ClientContentionTests.Report?.self) { group in
            let name = name
            for writer in 0..<writers {
                group.addTask {
                    try await withClient { client in
                        var report = ClientContentionTests.Report()
                        for number in 0..<count {
                            let key = "w\(writer)-\(number)"
                            do {
                                let outcome = try client.modify(
                                    .configMaps, namespace: "default", name: name, deadline: .soon
                                ) { object in
                                    if object["data"]?[key] != nil { return .leave }
                                    let old = object["data"]?["count"]?.string.flatMap { Int($0) } ?? 0
                                    return .patch(.merge(["data": ["count": .string("\(old + 1)"), key: "here"]]))
                                }
                                if outcome != .gone { report.written.append(key) }
                            } catch let error as APIError where error.isConflict {
                                report.givenUp += 1
                            }
                        }
                        return report
                    }
                }
            }
            group.addTask {
                try await meanwhile()
                return nil
            }
            return try await group.reduce(into: []) { if let report = $1 { $0.append(report) } }
        }
    }
}
