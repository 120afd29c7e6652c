/// Keys that are written by mistake for one that there is.
///
/// What nobody knows may be of a newer version, or another program's, and is ignored. What is almost a key was meant as
/// one, and ignored it would give a pod other addresses than its author wanted.
package enum Misspelling {
    /// The key that a word was meant for; nil where it is one, or is not like any.
    package static func meant(by word: String, among keys: [String]) -> String? {
        guard !keys.contains(word) else { return nil }
        let plain = normalized(word)
        return keys.first { normalized($0) == plain } ?? keys.first { isNear(plain, normalized($0)) }
    }

    private static func normalized(_ word: String) -> [UInt8] {
        word.lowercased().utf8.filter { $0 != UInt8(ascii: "_") && $0 != UInt8(ascii: "-") }
    }

    /// One letter is missing, too many, wrong, or has changed places with the next; or the other number of a noun.
    private static func isNear(_ one: [UInt8], _ other: [UInt8]) -> Bool {
        guard min(one.count, other.count) >= 4 else { return false }
        let common = zip(one, other).prefix { $0 == $1 }.count
        let (restOfOne, restOfOther) = (one.dropFirst(common), other.dropFirst(common))
        let endings = [restOfOne, restOfOther].map { String(decoding: $0, as: UTF8.self) }
        if [["", "es"], ["es", ""], ["y", "ies"], ["ies", "y"]].contains(endings) { return true }
        return switch restOfOne.count - restOfOther.count {
        case 1: restOfOne.dropFirst().elementsEqual(restOfOther)
        case -1: restOfOther.dropFirst().elementsEqual(restOfOne)
        case 0:
            restOfOne.dropFirst().elementsEqual(restOfOther.dropFirst())
                || restOfOne.dropFirst(2).elementsEqual(restOfOther.dropFirst(2))
                    && restOfOne.prefix(2).reversed().elementsEqual(restOfOther.prefix(2))
        default: false
        }
    }
}
