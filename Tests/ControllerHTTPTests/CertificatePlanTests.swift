import ControllerHTTP
import JSONText
import KubernetesCore
import Testing

@Suite struct CertificatePlanTests {
    static func plan(_ secret: CertificateSecret?, names: [String] = serviceNames, at now: Int64) -> CertificatePlan {
        CertificatePlan(for: secret, names: names, now: now)
    }

    /// Whether a client that trusts the bundle accepts the serving certificate.
    static func accepts(_ bundle: String, _ certificate: String, at now: Int64) throws -> Bool {
        let certificate = try Certificate(pem: certificate)
        return Certificate.all(in: bundle).contains { certificate.refusal(by: $0, at: now) == nil }
    }

    @Test func `No Secret, and one without members, get everything new`() {
        #expect(Self.plan(nil, at: epoch) == .renewAll(.absent))
        for data in [nil, [:], ["other": "YQ=="]] as [JSON?] {
            #expect(Self.plan(CertificateSecret(secretData: data), at: epoch) == .renewAll(.absent))
        }
    }

    @Test(arguments: [
        (0, true), (1, true), (242, true), (243, true),
        // Two thirds of 365 days and an hour.
        (244, false), (300, false), (365, false), (366, false),
    ])
    func `What is good is kept for two thirds of its life`(days: Int64, isKept: Bool) throws {
        let secret = try makeSecret()
        #expect((Self.plan(secret, at: epoch + days * day) == .keep) == isKept)
    }

    @Test func `The reason for a renewal is its age`() throws {
        let secret = try makeSecret()
        #expect(Self.plan(secret, at: epoch + 244 * day) == .renewServing(.serving(.ending)))
        #expect(Self.plan(secret, at: epoch + 366 * day) == .renewServing(.serving(.expired)))
        #expect(Self.plan(secret, at: epoch + 2433 * day) == .renewServing(.serving(.expired)))
        #expect(Self.plan(secret, at: epoch + 2434 * day) == .renewAll(.authority(.ending)))
        #expect(Self.plan(secret, at: epoch + 3651 * day) == .renewAll(.authority(.expired)))
    }

    @Test func `Clocks may differ by an hour, and one that is further behind gets what it can use`() throws {
        let secret = try makeSecret()
        #expect(Self.plan(secret, at: epoch - 3600) == .keep)
        let past = epoch - 3601
        #expect(Self.plan(secret, at: past) == .renewAll(.authority(.notYetValid)))
        let renewed = try #require(try Self.plan(secret, at: past).result(on: secret, at: past))
        #expect(Self.plan(renewed, at: past) == .keep)
        // The machine whose clock is right can use it too, and does not renew it back.
        #expect(Self.plan(renewed, at: epoch) == .keep)
    }

    @Test func `A serving certificate from an authority's future is made anew`() throws {
        var secret = try makeSecret()
        var generator = SeededGenerator(3)
        let authority = try CertificateAuthority(certificatePEM: secret.authorities, key: secret.authorityKey)
        let serving = try authority.issue(names: serviceNames, now: epoch + 2 * day, using: &generator)
        (secret.certificate, secret.key) = (serving.certificate.pem, serving.key)
        #expect(Self.plan(secret, at: epoch) == .renewServing(.serving(.notYetValid)))
    }

    @Test func `Names that are missing are a reason, names that are too many are none`() throws {
        let secret = try makeSecret()
        let more = serviceNames + ["berth.example"]
        #expect(Self.plan(secret, names: more, at: epoch) == .renewServing(.namesMissing(["berth.example"])))
        let renewed = try #require(
            try Self.plan(secret, names: more, at: epoch).result(on: secret, names: more, at: epoch))
        #expect(Self.plan(renewed, names: more, at: epoch) == .keep)
        #expect(Self.plan(renewed, names: [serviceNames[0]], at: epoch) == .keep)
        // The authority stays, so that nobody has to learn a new one.
        #expect(renewed.authorities == secret.authorities)
        #expect(renewed.authorityKey == secret.authorityKey)
    }

    @Test(arguments: ["ca.crt", "ca.key", "tls.crt", "tls.key"], ["", "not base 64!", "cnViYmlzaA==", "AAAA", "7"])
    func `Rubbish in a member makes new what depends on it`(member: String, rubbish: String) throws {
        var data = try makeSecret().secretData
        data[member] = rubbish == "7" ? 7 : .string(rubbish)
        let secret = CertificateSecret(secretData: data)
        let plan = Self.plan(secret, at: epoch)
        switch plan {
        case .renewAll(.unusable(let problem)): #expect(member.hasPrefix("ca.") && problem.subject == member)
        case .renewServing(.unusable(let problem)): #expect(member.hasPrefix("tls.") && problem.subject == member)
        default: Issue.record("\(plan)")
        }
        let renewed = try #require(try plan.result(on: secret, at: epoch))
        #expect(Self.plan(renewed, at: epoch) == .keep)
    }

    @Test func `Keys and certificates of others are not kept`() throws {
        let secret = try makeSecret(seed: 1)
        let other = try makeSecret(seed: 2)

        var wrongKey = secret
        wrongKey.key = other.key
        #expect(
            Self.plan(wrongKey, at: epoch)
                == .renewServing(
                    .unusable(CertificateProblem("tls.key", "the private key is not that of the certificate"))))

        var wrongAuthorityKey = secret
        wrongAuthorityKey.authorityKey = other.authorityKey
        #expect(
            Self.plan(wrongAuthorityKey, at: epoch)
                == .renewAll(.unusable(CertificateProblem("ca.key", "the private key is not that of the certificate"))))

        var foreign = secret
        (foreign.certificate, foreign.key) = (other.certificate, other.key)
        guard case .renewServing(.notIssued) = Self.plan(foreign, at: epoch) else {
            Issue.record("\(Self.plan(foreign, at: epoch))")
            return
        }

        var noAuthority = secret
        (noAuthority.authorities, noAuthority.authorityKey) = (secret.certificate, secret.key)
        #expect(
            Self.plan(noAuthority, at: epoch)
                == .renewAll(.unusable(CertificateProblem("ca.crt", "the certificate is not an authority's"))))
    }

    @Test func `A key of another kind is not ours`() throws {
        let folder = try Folder()
        let (key, certificate) = ("\(folder.path)/k", "\(folder.path)/c")
        try folder.write("k", "")
        try folder.write("c", "")
        _ = try output(
            of: "openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=x -keyout \(key) -out \(certificate) "
                + "-addext basicConstraints=critical,CA:TRUE 2>&1")
        var secret = try makeSecret()
        secret.authorities = try output(of: "cat \(certificate)")
        secret.authorityKey = PrivateKey(pem: try output(of: "cat \(key)"))
        #expect(
            Self.plan(secret, at: epoch)
                == .renewAll(.unusable(CertificateProblem("ca.key", "the private key is not on P-256"))))
    }

    @Test func `What is kept is not written`() throws {
        let secret = try makeSecret()
        #expect(try CertificatePlan.keep.result(on: secret, at: epoch) == nil)
    }

    @Test func `While authorities change, replicas with the old certificate are believed`() throws {
        let old = try makeSecret()
        let now = epoch + 2434 * day
        // The serving certificate of that time, by the old authority.
        let before = try #require(try CertificatePlan.renewServing(.serving(.ending)).result(on: old, at: now - day))
        let plan = Self.plan(before, at: now)
        #expect(plan == .renewAll(.authority(.ending)))
        let new = try #require(try plan.result(on: before, at: now))
        #expect(new.authorityKey != before.authorityKey)
        #expect(try Self.accepts(new.authorities, new.certificate, at: now))
        #expect(try Self.accepts(new.authorities, before.certificate, at: now))
        #expect(try Self.accepts(before.authorities, new.certificate, at: now) == false)
        #expect(Self.plan(new, at: now) == .keep)

        // A renewal in the days after still trusts the old one, for a replica may not have seen the first yet.
        let soon = try #require(try CertificatePlan.renewServing(.absent).result(on: new, at: now + 6 * day))
        #expect(try Self.accepts(soon.authorities, before.certificate, at: now))
        // The next one in its time does not.
        let later = now + 244 * day
        #expect(Self.plan(new, at: later) == .renewServing(.serving(.ending)))
        let settled = try #require(try Self.plan(new, at: later).result(on: new, at: later))
        #expect(Certificate.all(in: settled.authorities).count == 1)
        #expect(try Self.accepts(settled.authorities, settled.certificate, at: later))
    }

    @Test func `A bundle does not grow without end, nor keep what has expired`() throws {
        var secret = try makeSecret()
        for round in 1...6 {
            secret.authorityKey = PrivateKey(pem: "rubbish \(round)")
            let now = epoch + Int64(round)
            secret = try #require(try Self.plan(secret, at: now).result(on: secret, at: now))
            #expect(Certificate.all(in: secret.authorities).count == min(round + 1, 3))
            #expect(Self.plan(secret, at: now) == .keep)
        }
        let end = epoch + 3660 * day
        let renewed = try #require(try Self.plan(secret, at: end).result(on: secret, at: end))
        #expect(Certificate.all(in: renewed.authorities).count == 1)
    }

    @Test func `A year after a year there is a certificate that clients accept`() throws {
        var secret = try makeSecret()
        var renewals = 0
        for days in stride(from: 0, to: 30 * 365, by: 30) {
            let now = epoch + Int64(days) * day
            let plan = Self.plan(secret, at: now)
            if let renewed = try plan.result(on: secret, at: now) {
                #expect(try Self.accepts(renewed.authorities, secret.certificate, at: now))
                secret = renewed
                renewals += 1
            }
            #expect(try Self.accepts(secret.authorities, secret.certificate, at: now))
        }
        #expect((40...50).contains(renewals), "\(renewals)")
    }

    @Test func `A Secret holds what was put into it`() throws {
        let secret = try makeSecret()
        let data = secret.secretData
        #expect(data.object?.names == ["ca.crt", "ca.key", "tls.crt", "tls.key"])
        #expect(CertificateSecret(secretData: data) == secret)
        #expect(CertificateSecret(secretData: try JSON(parsing: data.serialized())) == secret)
        #expect(Base64.decode(secret.caBundle).map { String(decoding: $0, as: UTF8.self) } == secret.authorities)
        #expect(CertificateSecret.type == "kubernetes.io/tls")
    }

    @Test func `Every reason has a text of its own`() {
        let faults: [CertificateFault] = [
            .absent, .unusable(CertificateProblem("ca.crt", "p")), .authority(.expired), .serving(.expired),
            .serving(.ending), .notIssued("r"), .namesMissing(["a", "b"]),
        ]
        #expect(Set(faults.map(\.description)).count == faults.count)
        #expect(CertificateFault.namesMissing(["a", "b"]).description.hasSuffix("lacks names: a, b"))
    }
}
