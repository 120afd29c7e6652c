/// The version of everything that is built from this tree.
enum Version {
    static let text = "0.1.0"
}
