import Glibc
import JSONText
package import KubernetesClient
package import KubernetesCore
import Synchronization

/// The right to act as the leader, for as long as it lasts.
package final class Leadership: Sendable {
    private let until: Mutex<Moment>
    private let clock: any AsyncClock

    init(until: Moment, clock: any AsyncClock) {
        self.until = Mutex(until)
        self.clock = clock
    }

    /// To be asked before each act. False at the deadline, even when the process slept and no timer ran.
    package var isHeld: Bool { clock.now() < until.withLock(\.self) }

    /// A request of the leader must not outlast it.
    package var deadline: Moment { until.withLock(\.self) }

    func extend(to moment: Moment?) { until.withLock { $0 = moment ?? Moment(nanoseconds: .min) } }

    /// Returns when it is over, or when the task is cancelled.
    func waitUntilLost() async {
        while isHeld {
            do { try await clock.sleep(until: deadline) } catch { return }
        }
    }
}

/// What an elector tells whoever runs it, for logs and metrics.
package enum LeaderReport: Sendable {
    case leading
    /// No longer leading, for want of a renewal in time.
    case lost
    /// Another process, or nobody, holds the lease.
    case following(holder: String?)
    case failed(APIError)
}

/// Runs work on one replica at a time: the shell of `LeaderElection`, which decides everything.
///
/// Flow: takes part in the election until it leads, then runs the work and renews the lease beside it. When the lease
/// could not be renewed in time, the work's task is cancelled, and the election goes on. When the work ends by itself,
/// or `run` is cancelled, the lease is given back.
///
/// Guarantees: those of `LeaderElection`. The work's task is cancelled at the moment at which the right to act ends, also
/// while a renewal hangs. Work never begins again before the earlier one has returned, and the lease is given back only
/// then.
///
/// Assumptions: the work ends soon after its task is cancelled, and looks at `Leadership.isHeld` before it changes
/// something that another leader must not find changed.
///
/// Caveats: giving the lease back takes up to `releaseTimeout` after `run` was cancelled.
///
/// Errors: what the work throws, other than because it was cancelled. Failures of the election are reported and waited
/// out.
package actor LeaderElector {
    private let transport: any AsyncTransport
    private let namespace: String
    private let name: String
    private let clock: any AsyncClock
    private let wallTime: @Sendable () -> Int64
    private let report: @Sendable (LeaderReport) -> Void
    private var machine: LeaderElection
    private var generator: any RandomNumberGenerator & Sendable
    private var action: LeaderElection.Action
    private var leadership: Leadership?
    private var reportedHolder: String??

    /// - Parameters:
    ///   - identity: Of this process alone: a host's or pod's name with something random.
    ///   - wallTime: Microseconds since 1970, written for people to read.
    package init(
        namespace: String, name: String, identity: String, on transport: any AsyncTransport,
        limits: LeaderElectionLimits = LeaderElectionLimits(), clock: any AsyncClock = BootClock(),
        generator: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator(),
        wallTime: @escaping @Sendable () -> Int64 = microsecondsSince1970,
        report: @escaping @Sendable (LeaderReport) -> Void = { _ in }
    ) {
        self.transport = transport
        self.namespace = namespace
        self.name = name
        self.clock = clock
        self.wallTime = wallTime
        self.report = report
        machine = LeaderElection(identity: identity, limits: limits)
        self.generator = generator
        action = .wait(until: clock.now())
    }

    /// Called once.
    package func run(_ work: @escaping @Sendable (Leadership) async throws -> Void) async throws {
        var failure: (any Error)?
        while await lead() {
            let leadership = Leadership(until: machine.leadsUntil ?? clock.now(), clock: clock)
            self.leadership = leadership
            report(.leading)
            let end = await term(leadership, work)
            self.leadership = nil
            if case .worked(let error) = end {
                failure = error
                break
            }
            if !Task.isCancelled { report(.lost) }
        }
        // Of its own, because this one may be cancelled already.
        await Task { await release() }.value
        if let failure { throw failure }
    }

    private enum TermEnd: Sendable {
        /// Nil when it did all that it had to do.
        case worked((any Error)?)
        case lost
    }

    private func term(
        _ leadership: Leadership, _ work: @escaping @Sendable (Leadership) async throws -> Void
    ) async -> TermEnd {
        await withTaskGroup(of: TermEnd.self) { group in
            group.addTask {
                do {
                    try await work(leadership)
                    return .worked(nil)
                } catch {
                    // Because it was told to end.
                    return error is CancellationError && Task.isCancelled ? .lost : .worked(error)
                }
            }
            group.addTask {
                await self.renew()
                return .lost
            }
            group.addTask {
                await leadership.waitUntilLost()
                return .lost
            }
            let first = await group.next() ?? .lost
            group.cancelAll()
            if case .worked = first { return first }
            for await end in group {
                if case .worked(_?) = end { return end }
            }
            return .lost
        }
    }

    /// Takes part in the election until we lead (true) or the task is cancelled.
    private func lead() async -> Bool {
        while !Task.isCancelled {
            if machine.isLeading(now: clock.now()) { return true }
            await step()
        }
        return false
    }

    private func renew() async {
        while !Task.isCancelled, machine.isLeading(now: clock.now()) { await step() }
    }

    private func release() async {
        switch action {
        // It was decided on, and the task cancelled before it was sent.
        case .read, .write: action = machine.handle(.failed, now: clock.now(), using: &generator)
        case .wait, .finished, .ignore: break
        }
        action = machine.handle(.stop, now: clock.now(), using: &generator)
        while action != .finished, action != .ignore { await step() }
    }

    /// Performs the action and asks for the next. When the task is cancelled while it waits, the action stays.
    private func step() async {
        let input: LeaderElection.Input
        switch action {
        case .wait(let moment):
            do { try await clock.sleep(until: moment) } catch { return }
            input = .wake
        case .read(let deadline):
            input = await read(deadline: deadline)
        case .write(let write, let deadline):
            input = await self.write(write, deadline: deadline)
        case .finished, .ignore: return
        }
        action = machine.handle(input, now: clock.now(), using: &generator)
        leadership?.extend(to: machine.leadsUntil)
        if case .read = input, machine.holder != machine.identity, reportedHolder != .some(machine.holder) {
            reportedHolder = .some(machine.holder)
            report(.following(holder: machine.holder))
        }
    }

    private func read(deadline: Moment) async -> LeaderElection.Input {
        let request = APIRequest.get(.leases, namespace: namespace, name: name)
        switch interpret(await transport.perform(request, deadline: deadline), to: request) {
        case .success(let json): return record(json, request).map { .read($0) } ?? .failed
        case .failure(let error) where error.isNotFound: return .read(nil)
        case .failure(let error): return failed(error)
        }
    }

    private func write(_ write: LeaseWrite, deadline: Moment) async -> LeaderElection.Input {
        let request = write.request(
            namespace: namespace, name: name, identity: machine.identity, duration: machine.limits.leaseDuration,
            wallTime: wallTime()
        ).limited(to: deadline - clock.now())
        switch interpret(await transport.perform(request, deadline: deadline), to: request) {
        case .success(let json): return record(json, request).map { .written($0) } ?? .failed
        case .failure(let error):
            let isConflict =
                error.isConflict || error.isAlreadyExists || error.isNotFound || error.namesAnotherObject
            return isConflict ? .conflict : failed(error)
        }
    }

    private func record(_ json: JSON, _ request: APIRequest) -> LeaseRecord? {
        do {
            return try LeaseRecord(json)
        } catch {
            _ = failed(.undecodable("\(error)", request.subject))
            return nil
        }
    }

    private func failed(_ error: APIError) -> LeaderElection.Input {
        if !error.isCancellation { report(.failed(error)) }
        return .failed
    }
}

/// By the machine's wall clock.
@Sendable package func microsecondsSince1970() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
}
