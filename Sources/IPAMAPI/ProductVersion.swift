/// The version of everything that is built from this tree, as in CHANGELOG.md.
package enum ProductVersion {
    package static let text = "0.1.0"
}
