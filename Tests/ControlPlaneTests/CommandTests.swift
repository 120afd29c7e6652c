import JSONText
import TestSupport
import Testing

@Suite("Command and PluginRunner", .timeLimit(.minutes(1)))
struct CommandTests {
    @Test func `output, error output and exit status are told apart`() async throws {
        let outcome = try await run("sh", ["-c", "cat; echo broken >&2; exit 3"], stdin: Array("in".utf8))
        #expect(outcome.ending == .exited(3))
        #expect(outcome.outputText == "in")
        #expect(outcome.errorText == "broken\n")
        #expect(outcome.peakMemory > 0)
    }

    @Test func `input and output larger than a pipe pass`() async throws {
        let input = [UInt8](repeating: UInt8(ascii: "a"), count: 3_000_000)
        let copied = try await run("cat", stdin: input)
        #expect(copied.output == input)
        let unread = try await run("true", stdin: input)
        #expect(unread.succeeded)
    }

    @Test func `a process inherits its three pipes and nothing else`() async throws {
        let script = "for n in $(seq 0 400); do test -e /proc/$$/fd/$n && echo $n; done"
        let lists = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<20 {
                group.addTask { try await run("sh", ["-c", script]).outputText }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(Set(lists) == ["0\n1\n2\n"])
    }

    @Test func `a process gets the environment that is named and no more`() async throws {
        let output = try await runChecked("/usr/bin/env", environment: ["A": "b=c"])
        #expect(output == "A=b=c\n")
    }

    @Test func `a process is killed after a time, at an event, and with its task`() async throws {
        let timed = try await Command("sleep", ["100"], killAfter: .milliseconds(20)).run()
        #expect(timed.ending == .signalled(9))
        #expect(timed.duration >= .milliseconds(20))

        let running = try Command("sleep", ["100"]).start()
        running.kill()
        #expect(await running.outcome().ending == .signalled(9))
        running.kill()

        let task = Task { try await run("sleep", ["100"]) }
        task.cancel()
        #expect(try await task.value.ending == .signalled(9))
    }

    @Test func `an overdue process goes with the children that hold its output`() async throws {
        let outcome = try await run("sh", ["-c", "sleep 100 & sleep 100 & wait"], limit: .milliseconds(50))
        #expect(outcome.isOverdue)
        #expect(outcome.ending == .signalled(9))
    }

    @Test func `a process that was killed is over when its children are`() async throws {
        let gate = try Command("sh", ["-c", "(echo child; read line; echo late) <&0 & exec sleep 100"]).start()
        gate.kill()
        // The child's input has ended, so it writes its last line and goes.
        let outcome = await gate.outcome()
        #expect(outcome.ending == .signalled(9))
        #expect(["", "child\nlate\n"].contains(outcome.outputText))
    }

    @Test func `a command that is not there is an error`() async {
        await #expect(throws: SystemError.self) { try await run("/no/such/command") }
    }

    @Test func `a plugin gets what a runtime gives it`() async throws {
        try await Files.withTemporaryFolder { folder in
            let plugin = "\(folder)/plugin"
            let script = """
                #!/bin/sh
                test "$CNI_COMMAND" = DEL && echo '{"code": 11, "msg": "later", "details": "d"}' && exit 1
                test "$CNI_COMMAND" = CHECK && kill -9 $$
                test "${CNI_NETNS+set}" = set || unset=unset
                printf '{"ips": [{"address": "10.0.0.7/24"}], "stdin": %s, "environment": "%s"}' "$(cat)" \
                  "$CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME $CNI_ARGS $CNI_PATH $EXTRA $unset"
                """
            try Files.write(plugin, script, mode: 0o700)
            let runner = PluginRunner(executable: plugin)

            var call = PluginCall(
                "ADD", containerID: "c1", interface: "eth0", arguments: "K=v", configuration: ["name": "net"])
            call.environment["EXTRA"] = "more"
            let added = try await runner.run(call).checked()
            #expect(added.result?["stdin"] == ["name": "net"])
            #expect(added.result?["environment"]?.string == "ADD c1 eth0 K=v \(folder) more unset")
            #expect(added.addresses == ["10.0.0.7"])
            #expect(added.failure == nil)

            call.command = "DEL"
            let deleted = try await runner.run(call)
            #expect(deleted.failure == .init(code: 11, message: "later", details: "d"))
            #expect(deleted.result == nil)
            #expect(throws: PluginFailure.self) { try deleted.checked() }

            call.command = "CHECK"
            #expect(try await runner.run(call).process.ending == .signalled(9))
        }
    }
}
