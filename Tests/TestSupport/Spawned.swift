internal import Glibc

/// A process with the pipes to it, and what its thread does until its end.
///
/// A process inherits nothing but its three pipes. A pipe held open by a sibling would hide the end of the output, and a
/// socket of the fault proxy held open by a plugin could not be reset: so all pipes are close-on-exec from their birth,
/// and every process closes what other parts of this one have left open.
struct Spawned: Sendable {
    let processID: Int32
    private let command: Command
    private let stdin: Int32
    private let stdout: Int32
    private let stderr: Int32

    init(_ command: Command) throws {
        self.command = command
        let stdin = try Pipe()
        let stdout = try Pipe()
        let stderr = try Pipe()
        defer { for descriptor in [stdin.reading, stdout.writing, stderr.writing] { close(descriptor) } }
        do {
            processID = try Self.spawn(command, stdin.reading, stdout.writing, stderr.writing)
        } catch {
            for descriptor in [stdin.writing, stdout.reading, stderr.reading] { close(descriptor) }
            throw error
        }
        self.stdin = stdin.writing
        self.stdout = stdout.reading
        self.stderr = stderr.reading
        for descriptor in [self.stdin, self.stdout, self.stderr] { _ = fcntl(descriptor, F_SETFL, O_NONBLOCK) }
    }

    private struct Pipe {
        let reading: Int32
        let writing: Int32

        init() throws {
            var ends: [Int32] = [-1, -1]
            guard makePipe(&ends, O_CLOEXEC) == 0 else { throw SystemError("pipe2") }
            (reading, writing) = (ends[0], ends[1])
        }
    }

    private static func spawn(
        _ command: Command, _ stdin: Int32, _ stdout: Int32, _ stderr: Int32
    ) throws -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (target, descriptor) in [(STDIN_FILENO, stdin), (STDOUT_FILENO, stdout), (STDERR_FILENO, stderr)] {
            posix_spawn_file_actions_adddup2(&actions, descriptor, target)
        }
        _ = addCloseFrom(&actions, STDERR_FILENO + 1)

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        let flags = Int16(POSIX_SPAWN_SETPGROUP) | Int16(POSIX_SPAWN_SETSIGMASK) | Int16(POSIX_SPAWN_SETSIGDEF)
        posix_spawnattr_setflags(&attributes, flags)

        let environment = (command.environment ?? Environment.all).map { "\($0)=\($1)" }
        let status = withCStrings([command.executable] + command.arguments) { arguments in
            withCStrings(environment) { environment in
                var processID: Int32 = 0
                let status = posix_spawnp(
                    &processID, command.executable, &actions, &attributes, arguments, environment)
                return status == 0 ? processID : -status
            }
        }
        guard status > 0 else { throw SystemError("start \(command.executable)", -status) }
        return status
    }

    private static func withCStrings<Result>(
        _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
    ) -> Result {
        let copies = strings.map { strdup($0) } + [nil]
        defer { for copy in copies { free(copy) } }
        return copies.withUnsafeBufferPointer { buffer in
            guard let address = buffer.baseAddress else { fatalError("a list that ends in nil is not empty") }
            return body(address)
        }
    }
}

extension Spawned {
    /// Feeds and reads the process until it has ended and its output is closed. Blocks; for a thread of its own.
    func attend(since start: ContinuousClock.Instant, reaping: (@Sendable () -> Void) -> Void) -> ProcessOutcome {
        // A process that does not read its input must not end this one. The signal stays pending and goes with the
        // thread.
        var pipeSignal = sigset_t()
        sigemptyset(&pipeSignal)
        sigaddset(&pipeSignal, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &pipeSignal, nil)

        var attendance = Attendance(input: command.stdin[...])
        let exit = openProcess(processID, 0)
        attendance.descriptors = [stdin, stdout, stderr, exit]
        if command.stdin.isEmpty { attendance.close(Attendance.stdin) }
        var killTime = command.killAfter.map { start + $0 }
        let end = start + command.limit
        var isOverdue = false
        while attendance.isUnfinished {
            attendance.poll(until: [killTime, isOverdue ? nil : end].compactMap(\.self).min())
            let now = ContinuousClock.now
            if attendance.exitTime == nil, attendance.hasExited { attendance.exitTime = now }
            if let time = killTime, now >= time {
                if attendance.exitTime == nil { kill(processID, SIGKILL) }
                killTime = nil
            }
            if !isOverdue, now >= end {
                isOverdue = true
                kill(-processID, SIGKILL)
            }
        }
        attendance.closeAll()
        let status = ExitStatus(processID, reaping: reaping)
        return ProcessOutcome(
            command: ([command.executable] + command.arguments).joined(separator: " "),
            ending: status.ending,
            output: attendance.output,
            errorOutput: attendance.errorOutput,
            duration: (attendance.exitTime ?? .now) - start,
            processorTime: status.processorTime,
            peakMemory: status.peakMemory,
            isOverdue: isOverdue
        )
    }
}

/// The descriptors of a process while it is attended.
private struct Attendance {
    static let stdin = 0
    static let stdout = 1
    static let stderr = 2
    static let exit = 3

    var descriptors: [Int32] = []
    var input: ArraySlice<UInt8>
    var output: [UInt8] = []
    var errorOutput: [UInt8] = []
    var hasExited = false
    var exitTime: ContinuousClock.Instant?
    private var chunk = [UInt8](repeating: 0, count: 65_536)

    init(input: ArraySlice<UInt8>) { self.input = input }

    var isUnfinished: Bool {
        descriptors[Self.stdout] >= 0 || descriptors[Self.stderr] >= 0 || (descriptors[Self.exit] >= 0 && !hasExited)
    }

    mutating func poll(until time: ContinuousClock.Instant?) {
        let watched = descriptors.indices.filter { descriptors[$0] >= 0 && !($0 == Self.exit && hasExited) }
        var polled = watched.map { index in
            pollfd(fd: descriptors[index], events: Int16(index == Self.stdin ? POLLOUT : POLLIN), revents: 0)
        }
        let wait = time.map { max(0, ($0 - .now) / .milliseconds(1)).rounded(.up) }
        guard Glibc.poll(&polled, nfds_t(polled.count), wait.map { Int32(min($0, 1e9)) } ?? -1) > 0 else { return }
        for (index, entry) in zip(watched, polled) where entry.revents != 0 {
            switch index {
            case Self.stdin: feed()
            case Self.stdout: read(Self.stdout, into: \.output)
            case Self.stderr: read(Self.stderr, into: \.errorOutput)
            default: hasExited = true
            }
        }
    }

    private mutating func feed() {
        let count = input.withUnsafeBytes { write(descriptors[Self.stdin], $0.baseAddress, $0.count) }
        if count < 0, errno == EAGAIN || errno == EINTR { return }
        input = count < 0 ? [] : input.dropFirst(count)
        if input.isEmpty { close(Self.stdin) }
    }

    private mutating func read(_ index: Int, into bytes: WritableKeyPath<Attendance, [UInt8]>) {
        let count = Glibc.read(descriptors[index], &chunk, chunk.count)
        if count < 0, errno == EAGAIN || errno == EINTR { return }
        guard count > 0 else { return close(index) }
        self[keyPath: bytes].append(contentsOf: chunk[..<count])
    }

    mutating func close(_ index: Int) {
        guard descriptors[index] >= 0 else { return }
        Glibc.close(descriptors[index])
        descriptors[index] = -1
    }

    mutating func closeAll() {
        for index in descriptors.indices { close(index) }
    }
}

/// What the kernel knows of a process that has ended.
private struct ExitStatus {
    var ending = ProcessOutcome.Ending.exited(-1)
    var processorTime = Duration.zero
    var peakMemory = 0

    init(_ processID: Int32, reaping: (@Sendable () -> Void) -> Void) {
        var information = siginfo_t()
        while waitid(P_PID, id_t(processID), &information, WEXITED | WNOWAIT) < 0, errno == EINTR {}
        let result = Observed(self)
        reaping {
            var status: Int32 = 0
            var usage = rusage()
            while wait4(processID, &status, 0, &usage) < 0, errno == EINTR {}
            result.update { result in
                let signal = status & 0x7F
                result.ending = signal == 0 ? .exited((status >> 8) & 0xFF) : .signalled(signal)
                result.processorTime = Duration(usage.ru_utime) + Duration(usage.ru_stime)
                result.peakMemory = usage.ru_maxrss * 1024
            }
        }
        self = result.value
    }
}

extension Duration {
    fileprivate init(_ time: timeval) {
        self = .seconds(time.tv_sec) + .microseconds(time.tv_usec)
    }
}

// Functions of glibc that its headers show only with _GNU_SOURCE, which Swift's module of it does not set.

private typealias MakePipe = @convention(c) (UnsafeMutablePointer<Int32>, Int32) -> Int32
private typealias AddCloseFrom = @convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, Int32) -> Int32
private typealias OpenProcess = @convention(c) (Int32, UInt32) -> Int32

private let makePipe = symbol("pipe2", as: MakePipe.self)

/// glibc 2.34
private let addCloseFrom = symbol("posix_spawn_file_actions_addclosefrom_np", as: AddCloseFrom.self)

/// Gives a descriptor that becomes readable when the process ends (glibc 2.36).
private let openProcess = symbol("pidfd_open", as: OpenProcess.self)

private func symbol<Function>(_ name: String, as type: Function.Type) -> Function {
    guard let address = dlsym(nil, name) else { fatalError("this libc has no \(name): glibc 2.36 is needed") }
    return unsafeBitCast(address, to: type)
}
