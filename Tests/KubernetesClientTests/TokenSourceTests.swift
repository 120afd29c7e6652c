import KubernetesClient
import KubernetesCore
import Testing

@Suite struct TokenSourceTests {
    static let start = Moment(nanoseconds: 5_000_000_000)

    static func configuration(token: String? = "old", file: String? = "/t") -> ClientConfiguration {
        ClientConfiguration(server: ServerAddress(host: "h", port: 1), token: token, tokenFile: file)
    }

    @Test func `A token without a file stays`() {
        var source = TokenSource(Self.configuration(file: nil)) { _ in
            Issue.record("nothing is to be read")
            return nil
        }
        #expect(source.authorization(now: Self.start) == "Authorization: Bearer old")
        source.expire()
        #expect(source.authorization(now: Self.start + .seconds(1000)) == "Authorization: Bearer old")
    }

    @Test func `Without a token there is no header`() {
        var source = TokenSource(Self.configuration(token: nil, file: nil)) { _ in nil }
        #expect(source.authorization(now: Self.start) == nil)
    }

    @Test func `The file is read again after a minute`() {
        var reads = 0
        withUnsafeMutablePointer(to: &reads) { reads in
            var source = TokenSource(Self.configuration()) { path in
                #expect(path == "/t")
                reads.pointee += 1
                return "t\(reads.pointee)"
            }
            #expect(source.authorization(now: Self.start) == "Authorization: Bearer t1")
            #expect(source.authorization(now: Self.start + .milliseconds(59_999)) == "Authorization: Bearer t1")
            #expect(source.authorization(now: Self.start + .seconds(60)) == "Authorization: Bearer t2")
            // Refused: sooner, but not with every request.
            source.expire()
            #expect(source.authorization(now: Self.start + .milliseconds(60_999)) == "Authorization: Bearer t2")
            #expect(source.authorization(now: Self.start + .seconds(61)) == "Authorization: Bearer t3")
            #expect(source.authorization(now: Self.start + .seconds(62)) == "Authorization: Bearer t3")
        }
    }

    @Test func `A file that cannot be read leaves the last token`() {
        var source = TokenSource(Self.configuration()) { _ in nil }
        #expect(source.authorization(now: Self.start) == "Authorization: Bearer old")
        #expect(source.authorization(now: Self.start + .seconds(100)) == "Authorization: Bearer old")
    }
}
