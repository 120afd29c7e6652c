/// What is to be done about the certificates in the webhook's Secret.
///
/// Flow: the shell reads the Secret and the time, makes a plan, and for anything but `keep` carries it out: first the
/// new bundle of authorities is written to the webhook configuration, then the Secret on condition of the
/// resourceVersion that was read. Every replica serves what the Secret says.
///
/// Guarantees: what is kept is valid now, issued by the authority in the Secret, for all names, with its own key. At
/// renewal there is a third of the life left: four months for the serving certificate, three years for the authority.
/// The bundle of a new authority goes on trusting the ones before it, so that a replica that still shows an old
/// certificate is believed.
///
/// Assumptions: one replica at a time carries plans out.
///
/// Caveats: to trust an older authority no longer takes the next renewal of the serving certificate that comes a week
/// after the new one at the earliest. To distrust one at once, delete the Secret: an absent one has no predecessors.
package enum CertificatePlan: Hashable, Sendable {
    case keep
    case renewServing(CertificateFault)
    /// The authority too.
    case renewAll(CertificateFault)

    /// - Parameters:
    ///   - secret: Nil when there is none.
    ///   - names: DNS names that the serving certificate has to cover.
    ///   - now: Seconds since 1970.
    package init(for secret: CertificateSecret?, names: [String], now: Int64) {
        guard let secret, !secret.isEmpty else {
            self = .renewAll(.absent)
            return
        }
        do {
            let authority = try CertificateAuthority(certificatePEM: secret.authorities, key: secret.authorityKey)
            if let fault = CertificateFault.age(of: authority.certificate, now: now) {
                self = .renewAll(.authority(fault))
            } else if let fault = Self.servingFault(secret, authority, names: names, now: now) {
                self = .renewServing(fault)
            } else {
                self = .keep
            }
        } catch {
            self = .renewAll(.unusable(error))
        }
    }

    private static func servingFault(
        _ secret: CertificateSecret, _ authority: CertificateAuthority, names: [String], now: Int64
    ) -> CertificateFault? {
        do {
            let certificate = try Certificate(
                pem: secret.certificate, subject: CertificateSecret.Member.certificate.rawValue)
            try secret.key.check(against: certificate, CertificateSecret.Member.key.rawValue)
            if let age = CertificateFault.age(of: certificate, now: now) { return .serving(age) }
            if let refusal = certificate.refusal(by: authority.certificate, at: now) { return .notIssued(refusal) }
            let missing = names.filter { !certificate.covers($0) }
            return missing.isEmpty ? nil : .namesMissing(missing)
        } catch {
            return .unusable(error)
        }
    }

    /// What the Secret is to hold after the plan; nil when it stays as it is.
    package func carriedOut(
        on secret: CertificateSecret?, names: [String], now: Int64, using generator: inout some RandomNumberGenerator
    ) throws(CertificateProblem) -> CertificateSecret? {
        let authority: CertificateAuthority
        let older: [Certificate]
        switch self {
        case .keep: return nil
        case .renewServing:
            guard let secret else { throw CertificateProblem("serving certificate", "no authority to issue it") }
            authority = try CertificateAuthority(certificatePEM: secret.authorities, key: secret.authorityKey)
            // By now every replica has long been showing a certificate of the present authority.
            let isSettled = now - authority.certificate.notBefore >= Self.overlapSeconds
            older = isSettled ? [] : Certificate.all(in: secret.authorities)
        case .renewAll:
            authority = try CertificateAuthority.make(now: now, using: &generator)
            older = Certificate.all(in: secret?.authorities ?? "")
        }
        let trusted = older.filter { $0.isAuthority && $0.notAfter > now && $0 != authority.certificate }
            .prefix(Self.maximumOlder)
        let serving = try authority.issue(names: names, now: now, using: &generator)
        return CertificateSecret(
            authorities: ([authority.certificate] + trusted).map(\.pem).joined(), authorityKey: authority.key,
            certificate: serving.certificate.pem, key: serving.key)
    }

    /// For how long the authorities before the present one are trusted at least: a week.
    static let overlapSeconds: Int64 = 7 * 86400
    /// So that the bundle stays bounded, however often somebody spoils the Secret.
    static let maximumOlder = 2
}

/// Why certificates are renewed.
package enum CertificateFault: Hashable, Sendable {
    package enum Age: String, Hashable, Sendable {
        case notYetValid = "not yet valid by this machine's clock"
        case ending = "two thirds of its life have passed"
        case expired = "expired"
    }

    /// No Secret, or none of its members.
    case absent
    /// A member is missing or not what it should be.
    case unusable(CertificateProblem)
    case authority(Age)
    case serving(Age)
    /// The authority does not vouch for the serving certificate; with libcrypto's reason.
    case notIssued(String)
    case namesMissing([String])

    fileprivate static func age(of certificate: Certificate, now: Int64) -> Age? {
        if now > certificate.notAfter { return .expired }
        if now < certificate.notBefore { return .notYetValid }
        return now >= certificate.renewalTime ? .ending : nil
    }
}

extension CertificateFault: CustomStringConvertible {
    package var description: String {
        switch self {
        case .absent: "there are no certificates"
        case .unusable(let problem): problem.description
        case .authority(let age): "the authority's certificate: \(age.rawValue)"
        case .serving(let age): "the serving certificate: \(age.rawValue)"
        case .notIssued(let reason): "the serving certificate is not the authority's: \(reason)"
        case .namesMissing(let names): "the serving certificate lacks names: \(names.joined(separator: ", "))"
        }
    }
}
