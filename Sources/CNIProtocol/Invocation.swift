import JSONText

/// The process as the dispatcher sees it: everything that it reads and writes.
package struct Invocation {
    package let environment: Environment
    /// Without the name of the executable.
    package let arguments: [String]
    /// Reads all of standard input. A caller may answer with no bytes for a terminal, which would never end.
    package let readStandardInput: () -> Result<[UInt8], StandardInputError>
    /// Writes all of the bytes to standard output, and says whether that succeeded.
    package let writeStandardOutput: ([UInt8]) -> Bool
    package let writeStandardError: ([UInt8]) -> Void

    package init(
        environment: Environment, arguments: [String],
        readStandardInput: @escaping () -> Result<[UInt8], StandardInputError>,
        writeStandardOutput: @escaping ([UInt8]) -> Bool,
        writeStandardError: @escaping ([UInt8]) -> Void
    ) {
        self.environment = environment
        self.arguments = arguments
        self.readStandardInput = readStandardInput
        self.writeStandardOutput = writeStandardOutput
        self.writeStandardError = writeStandardError
    }
}

/// Why standard input could not be read, for example `Bad file descriptor`.
package struct StandardInputError: Error, Equatable {
    package let reason: String

    package init(reason: String) { self.reason = reason }
}

/// What is known of the document on standard input before it is judged.
struct Input {
    /// The members of the document; code 5 when it could not be read, 6 when it is no JSON object.
    let fields: Result<JSONFields, CNIError>

    init(_ bytes: Result<[UInt8], StandardInputError>) {
        do throws(CNIError) {
            fields = .success(try Self.parse(bytes))
        } catch {
            fields = .failure(error)
        }
    }

    private static func parse(_ bytes: Result<[UInt8], StandardInputError>) throws(CNIError) -> JSONFields {
        let document: [UInt8]
        switch bytes {
        case .success(let read): document = read
        case .failure(let error):
            throw CNIError(code: CNIError.inputOutput, message: "cannot read standard input: \(error.reason)")
        }
        guard !document.isEmpty else {
            throw CNIError(code: CNIError.undecodable, message: "network configuration: standard input is empty")
        }
        let json: JSON
        do {
            json = try JSON(parsing: document)
        } catch {
            throw CNIError(code: CNIError.undecodable, message: "network configuration: \(error)")
        }
        return try CNIError.decoding { () throws(JSONDecodingError) in try JSONFields(json) }
    }

    /// What `cniVersion` says, supported or not; nil when it says nothing.
    var requestedVersion: String? {
        guard let text = (try? fields.get())?.value("cniVersion")?.string, !text.isEmpty else { return nil }
        return text
    }

    /// The version to write an error in: the requested one where the plugin speaks it, else its newest.
    var errorVersion: CNIVersion {
        guard let fields = try? fields.get() else { return .newest }
        do {
            return try NetworkConfiguration.version(fields)
        } catch {
            return .newest
        }
    }
}
