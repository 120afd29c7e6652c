import Glibc
import JSONText
import TestSupport

/// Measures the plugin as a runtime uses it: as a process, against a real API server, each figure beside its floor.
/// `hack/bench.sh` builds what it needs and runs it.
@main
enum BerthBench {
    static func main() async {
        do {
            guard let options = try Options(Array(CommandLine.arguments.dropFirst())) else {
                print(Options.help, terminator: "")
                return
            }
            let report = try await Bench.measure(options)
            print(report.table)
            if let file = options.jsonFile {
                let text = String(decoding: report.json.serializedPretty(), as: UTF8.self)
                try Files.write(file, text + "\n", mode: 0o644)
            }
        } catch let error as OptionsError {
            say("\(error); --help says more")
            exit(2)
        } catch {
            say("error: \(error)")
            exit(1)
        }
    }
}

/// A line about what is going on. Standard output is for the result.
func say(_ text: String) {
    let line = Array("bench: \(text)\n".utf8)
    _ = write(STDERR_FILENO, line, line.count)
}
