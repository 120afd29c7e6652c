internal import Glibc

/// How a process ended and what it said.
package struct ProcessOutcome: Sendable, CustomStringConvertible {
    package enum Ending: Hashable, Sendable {
        case exited(Int32)
        case signalled(Int32)
    }

    package let command: String
    package let ending: Ending
    package let output: [UInt8]
    package let errorOutput: [UInt8]
    /// From before the process was made until it had ended.
    package let duration: Duration
    /// Processor time of the process and of the children that it has waited for.
    package let processorTime: Duration
    /// The most memory that it had resident, in bytes.
    package let peakMemory: Int
    /// It was killed because it took longer than its limit.
    package let isOverdue: Bool

    package var succeeded: Bool { ending == .exited(0) }
    package var outputText: String { String(decoding: output, as: UTF8.self) }
    package var errorText: String { String(decoding: errorOutput, as: UTF8.self) }

    package var description: String {
        let ended =
            switch ending {
            case .exited(let status): "exit status \(status)"
            case .signalled(let signal): "signal \(signal)"
            }
        let said = [outputText, errorText].filter { !$0.isEmpty }.joined(separator: "\n")
        return "\(command): \(ended) after \(duration)\(isOverdue ? ", overdue" : "")\n\(said)"
    }
}

/// A process that did not exit with status 0.
package struct CommandFailure: Error, CustomStringConvertible {
    package let outcome: ProcessOutcome

    package var description: String { outcome.description }
}

/// A process to be started: nothing is inherited but what is named here.
package struct Command: Sendable {
    /// With a slash a path, else looked up in PATH of this process.
    package var executable: String
    package var arguments: [String]
    /// nil: the environment of this process.
    package var environment: [String: String]?
    package var stdin: [UInt8]
    /// Kills the whole process group when it, or a child that holds its output, takes longer.
    package var limit: Duration
    /// Kills the process, not its children, with SIGKILL so long after its start.
    package var killAfter: Duration?

    package init(
        _ executable: String, _ arguments: [String] = [], environment: [String: String]? = nil, stdin: [UInt8] = [],
        limit: Duration = .seconds(120), killAfter: Duration? = nil
    ) {
        self.executable = executable
        self.arguments = arguments
        self.environment = environment
        self.stdin = stdin
        self.limit = limit
        self.killAfter = killAfter
    }

    /// Starts the process; a thread of its own looks after it.
    package func start() throws -> RunningProcess { try RunningProcess(self) }

    /// Runs the process to its end. A cancelled task kills its process group.
    package func run() async throws -> ProcessOutcome {
        let process = try start()
        return await withTaskCancellationHandler {
            await process.outcome()
        } onCancel: {
            process.killGroup()
        }
    }
}

/// Runs a command to its end, whatever its exit status.
package func run(
    _ command: String, _ arguments: [String] = [], environment: [String: String]? = nil, stdin: [UInt8] = [],
    limit: Duration = .seconds(120)
) async throws -> ProcessOutcome {
    try await Command(command, arguments, environment: environment, stdin: stdin, limit: limit).run()
}

/// Runs a command that must succeed.
///
/// - Throws: `CommandFailure` with all that it said.
@discardableResult
package func runChecked(
    _ command: String, _ arguments: [String] = [], environment: [String: String]? = nil, stdin: [UInt8] = [],
    limit: Duration = .seconds(120)
) async throws -> String {
    let outcome = try await run(command, arguments, environment: environment, stdin: stdin, limit: limit)
    guard outcome.succeeded else { throw CommandFailure(outcome: outcome) }
    return outcome.outputText
}

/// A process that was started, until it has ended and everything that held its output has closed it.
package final class RunningProcess: Sendable {
    private struct State: Sendable {
        var isReaped = false
        var outcome: ProcessOutcome?
    }

    package let processID: Int32
    private let state = Observed(State())

    fileprivate init(_ command: Command) throws {
        let start = ContinuousClock.now
        let spawned = try Spawned(command)
        processID = spawned.processID
        startThread { [self] in
            let ended = spawned.attend(since: start, reaping: reap)
            state.update { $0.outcome = ended }
        }
    }

    /// Waits for the end, whether the task is cancelled or not.
    package func outcome() async -> ProcessOutcome { await state.found(\.outcome) }

    package var hasEnded: Bool { state.value.isReaped }

    /// Sends a signal to the process alone, as a runtime does; to one that has ended, none.
    package func kill(_ signal: Int32 = SIGKILL) {
        state.update { [processID] in
            if !$0.isReaped { Glibc.kill(processID, signal) }
        }
    }

    /// Kills the process and the children that have not left its process group.
    package func killGroup() {
        state.update { [processID] in
            // The group may outlive its leader, but its number is only safe while the output is still held.
            if $0.outcome == nil { Glibc.kill(-processID, SIGKILL) }
        }
    }

    /// Takes the exit status under the lock of `kill`, so that no signal goes to another process of the same number.
    private func reap(_ wait: @Sendable () -> Void) {
        state.update {
            wait()
            $0.isReaped = true
        }
    }
}
