import Glibc

/// Options from environment variables.
package enum EnvironmentArguments {
    /// The options whose variables are set, as they would be written on the command line.
    package static func of(_ names: [String]) -> [String] {
        names.flatMap { name -> [String] in
            let variable = "BERTH_" + name.uppercased().map { $0 == "-" ? "_" : String($0) }.joined()
            guard let value = getenv(variable) else { return [] }
            return ["--\(name)=\(String(cString: value))"]
        }
    }

    /// What kubelet tells a container about the API server.
    package static var inCluster: [String: String] {
        var variables: [String: String] = [:]
        for name in ["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "KUBERNETES_SERVICE_PORT_HTTPS"] {
            if let value = getenv(name) { variables[name] = String(cString: value) }
        }
        return variables
    }
}
