import Glibc

extension ExecCredential.Runner {
    /// Runs commands as processes: their errors go where this one's go, and a person's input to them where that is
    /// allowed.
    package static var process: Self {
        Self(isTerminal: isatty(STDIN_FILENO) == 1) { command throws(Failure) in try output(of: command) }
    }

    private static func output(of command: ExecCredential.Command) throws(Failure) -> [UInt8] {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw systemFailure("pipe", errno) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(ends[0]) }
        let process: pid_t
        do {
            defer { close(ends[1]) }
            process = try spawn(command, output: ends[1])
        }
        var output: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = read(ends[0], &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            output += chunk[..<count]
        }
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        guard status == 0 else {
            let signal = status & 0x7F
            throw Failure(
                problem: signal == 0
                    ? "it failed with exit status \((status >> 8) & 0xFF)" : "it was ended by signal \(signal)")
        }
        return output
    }

    private static func spawn(_ command: ExecCredential.Command, output: Int32) throws(Failure) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if !command.isInteractive {
            posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        }
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        let arguments = ([command.executable] + command.arguments).map { strdup($0) } + [nil]
        let environment = command.environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for text in arguments + environment { free(text) } }
        var process: pid_t = 0
        let code = posix_spawnp(&process, command.executable, &actions, nil, arguments, environment)
        guard code == 0 else {
            if code == ENOENT { throw Failure(problem: "there is no such program", isMissing: true) }
            throw systemFailure("it cannot be started", code)
        }
        return process
    }

    private static func systemFailure(_ what: String, _ code: Int32) -> Failure {
        Failure(problem: "\(what): \(String(cString: strerror(code)))")
    }
}
