import ArgumentParser
import Glibc
import IPAMConsole
import KubernetesClient

/// Names of pools for a shell that completes a command line. What goes wrong makes nobody wait, and says nothing.
enum PoolCompletion {
    /// For the scripts of `--generate-completion-script`.
    static let kind = CompletionKind.custom { words, _, _ in names(words) }

    /// Answers kubectl, where this program was called as `kubectl_complete-berth`.
    static func answerKubectl() -> Bool {
        let program = CommandLine.arguments.first?.split(separator: "/").last ?? ""
        guard program == "kubectl_complete-berth" else { return false }
        let words = Array(CommandLine.arguments.dropFirst())
        Terminal.say(Completion.answer(words) { names(words) }.text)
        return true
    }

    private static func names(_ words: [String]) -> [String] {
        var arguments: [String] = ["--request-timeout", "2s"]
        for (index, word) in words.enumerated() where word == "--kubeconfig" || word == "--context" {
            if index + 1 < words.count { arguments += [word, words[index + 1]] }
        }
        guard let session = try? GlobalOptions.parse(arguments).session(),
            let pools = try? session.reader.pools()
        else { return [] }
        session.progress.clear()
        return pools.map(\.name)
    }
}
