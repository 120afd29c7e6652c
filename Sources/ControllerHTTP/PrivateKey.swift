/// A private key in PEM form. No textual form of it shows the key.
package struct PrivateKey: Hashable, Sendable {
    package let pem: String

    package init(pem: String) { self.pem = pem }
}

extension PrivateKey: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "PrivateKey(redacted)" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: [:], displayStyle: .struct) }
}
