import KubernetesClient
import KubernetesCore
import KubernetesRuntime
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(1))) struct ConfigurationWatchTests {
    static func configuration(
        _ server: String = "https://10.0.0.1:6443", ca: String = "a", certificate: String = "c", token: String = "t",
        file: String? = "/token"
    ) throws -> ClientConfiguration {
        ClientConfiguration(
            server: try #require(ServerAddress(url: server)), caPEM: Array(ca.utf8),
            clientCertificatePEM: Array(certificate.utf8), token: token, tokenFile: file)
    }

    struct Unreadable: Error {}

    @Test func `a change that connections do not take in ends it, with its name`() async throws {
        let changes: [(ClientConfiguration, String)] = [
            (try Self.configuration(ca: "b"), "the cluster's CA has changed"),
            (try Self.configuration("https://10.0.0.2:6443"), "the address of the API server has changed"),
            (try Self.configuration(certificate: "d"), "the client certificate has changed"),
            (try Self.configuration(token: "v", file: nil), "the token has changed"),
        ]
        for (changed, says) in changes {
            let clock = ManualClock()
            let found = Mutex<ClientConfiguration?>(nil)
            let watch = ConfigurationWatch(try Self.configuration(), interval: .seconds(10), clock: clock) {
                guard let now = found.withLock(\.self) else { throw Unreadable() }
                return now
            }
            let task = Task { try await watch.run() }
            // A file that cannot be read, and another token, are no change.
            for (second, next) in [(10, try Self.configuration(token: "u")), (20, changed), (30, changed)] {
                await clock.sleeper(until: at(.seconds(second)))
                clock.advance(to: at(.seconds(second)))
                if second < 30 { await clock.sleeper(until: at(.seconds(second + 10))) }
                found.withLock { $0 = next }
            }
            let error = await #expect(throws: ConfigurationChanged.self) { try await task.value }
            #expect(error?.description == "\(says): start anew")
        }
    }
}
