import Glibc
import IPAMLedger
import IPAMNode
import TestSupport
import Testing

@Suite("Looking at sandboxes from the host")
struct SandboxProbeTests {
    /// A folder that stands for the host: its processes in `proc`, its root in `root`.
    private struct Host {
        let folder: String
        let probe: SandboxProbe

        init(_ folder: String) throws {
            self.folder = folder
            probe = SandboxProbe(proc: "\(folder)/proc", journalFolder: "\(folder)/root/var")
            for part in ["root", "proc", "proc/1", "root/run", "root/run/netns", "root/var"] {
                try Files.makeFolder("\(folder)/\(part)")
            }
            try link("\(folder)/root", at: "proc/1/root")
        }

        func link(_ target: String, at path: String) throws {
            try #require(symlink(target, "\(folder)/\(path)") == 0)
        }

        @discardableResult
        func write(_ path: String, _ text: String = "") throws -> UInt64 {
            try Files.write("\(folder)/\(path)", text)
            var status = stat()
            try #require(stat("\(folder)/\(path)", &status) == 0)
            return UInt64(status.st_ino)
        }

        func process(_ number: Int, cgroup: String) throws {
            try Files.makeFolder("\(folder)/proc/\(number)")
            try write("proc/\(number)/cgroup", cgroup)
        }

        func examine(_ path: String, _ inode: UInt64) -> NamespaceFact {
            probe.examine(SandboxNamespace(path: path, inode: inode))
        }
    }

    private func withHost(_ body: (Host) throws -> Void) async throws {
        try await Files.withTemporaryFolder("probe") { try body(try Host($0)) }
    }

    @Test func `the path and the inode decide`() async throws {
        try await withHost { host in
            let inode = try host.write("root/run/netns/cni-1")
            #expect(host.examine("/run/netns/cni-1", inode) == .there)
            #expect(host.examine("/run/netns/cni-1", inode + 1) == .other)
            #expect(host.examine("/run/netns/cni-2", inode) == .gone)
            #expect(host.examine("/nowhere/netns/cni-1", inode) == .gone)
            // A file where a folder was.
            #expect(host.examine("/run/netns/cni-1/x", inode) == .gone)
            #expect(host.probe.examine(nil) == .notRecorded)
        }
    }

    @Test func `links are followed within the host, and never out of it`() async throws {
        try await withHost { host in
            let inode = try host.write("root/run/netns/cni-1")
            try host.link("/run", at: "root/var/run")
            try host.link("../../../../run/netns", at: "root/var/netns")
            try host.link("netns/cni-1", at: "root/run/relative")
            for path in [
                "/var/run/netns/cni-1", "/var/netns/cni-1", "/run/relative", "/run/./netns/../netns//cni-1",
                "/../../run/netns/cni-1",
            ] {
                #expect(host.examine(path, inode) == .there, "\(path)")
            }
            // This file is there for the tests, but not for the host.
            try host.link(#filePath, at: "root/run/outside")
            #expect(host.examine("/run/outside", 1) == .gone)
            try host.link("loop", at: "root/run/loop")
            guard case .unknown = host.examine("/run/loop", 1) else {
                Issue.record("a loop is nothing that is gone")
                return
            }
        }
    }

    @Test func `a namespace of a process is known by what its link says`() async throws {
        try await withHost { host in
            var status = stat()
            try #require(stat("/proc/self/ns/net", &status) == 0)
            let process = getpid()
            let own = SandboxProbe(proc: "\(host.folder)/proc2", journalFolder: host.folder)
            try Files.makeFolder("\(host.folder)/proc2")
            try Files.makeFolder("\(host.folder)/proc2/1")
            try host.link("/", at: "proc2/1/root")
            func examine(_ path: String, _ inode: UInt64) -> NamespaceFact {
                own.examine(SandboxNamespace(path: path, inode: inode))
            }
            #expect(examine("/proc/\(process)/ns/net", UInt64(status.st_ino)) == .there)
            #expect(examine("/proc/\(process)/ns/net", UInt64(status.st_ino) + 1) == .other)
            #expect(examine("/proc/4194305/ns/net", UInt64(status.st_ino)) == .gone)
            // Where a link of a process leads is not for its text to say.
            for path in ["/proc/self/ns/net", "/proc/\(process)/root/etc", "/proc/\(process)/cwd"] {
                guard case .unknown = examine(path, UInt64(status.st_ino)) else {
                    Issue.record("\(path): \(examine(path, 1))")
                    continue
                }
            }
        }
    }

    @Test func `a namespace is inhabited while a process is in it`() async throws {
        try await withHost { host in
            #expect(host.probe.inhabitedNamespaces() == .unknown("\(host.folder)/proc: no processes"))
            for (number, inode) in [(1, 11), (7, 12), (8, 12)] {
                if number != 1 { try Files.makeFolder("\(host.folder)/proc/\(number)") }
                try Files.makeFolder("\(host.folder)/proc/\(number)/ns")
                try host.link("net:[\(inode)]", at: "proc/\(number)/ns/net")
            }
            // One that has ended while it was looked at.
            try Files.makeFolder("\(host.folder)/proc/9")
            #expect(host.probe.inhabitedNamespaces() == .inodes([11, 12]))
        }
    }

    @Test func `a host that cannot be seen has no dead sandboxes`() async throws {
        try await withHost { host in
            try Files.remove("\(host.folder)/proc/1/root")
            guard case .unknown = host.examine("/run/netns/cni-1", 1) else {
                Issue.record("it is unknown")
                return
            }
            let probe = SandboxProbe(proc: "\(host.folder)/proc", journalFolder: "\(host.folder)/root/var")
            #expect(probe.problem() != nil)
            // The root of something else than the host.
            try host.link("\(host.folder)/root", at: "proc/1/root")
            #expect(probe.problem()?.contains("hostPID") == true)
            try Files.remove("\(host.folder)/proc/1/root")
            try host.link("/", at: "proc/1/root")
            #expect(probe.problem() == nil)
        }
    }

    @Test func `a process that names a container in its control groups is one of it`() async throws {
        try await withHost { host in
            try host.process(10, cgroup: "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-aaaa1111.scope\n")
            try host.process(11, cgroup: "12:pids:/kubepods/besteffort/pod2/bbbb2222\n11:cpu:/kubepods/bbbb2222\n")
            try host.process(12, cgroup: "0::/../../system.slice/docker-cccc3333.scope\n")
            // One that has ended meanwhile.
            try Files.makeFolder("\(host.folder)/proc/13")
            let facts = host.probe.processes(named: ["aaaa1111", "bbbb2222", "cccc3333", "dddd4444"])
            #expect(
                facts == ["aaaa1111": .some, "bbbb2222": .some, "cccc3333": ProcessFact.some, "dddd4444": .none])
        }
    }

    @Test func `without processes nothing is known of them`() async throws {
        try await Files.withTemporaryFolder("probe") { folder in
            let probe = SandboxProbe(proc: folder, journalFolder: folder)
            guard case .unknown = probe.processes(named: ["a"])["a"] else {
                Issue.record("a machine without processes is not looked at")
                return
            }
        }
    }
}
