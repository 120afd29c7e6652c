@main enum BerthNode { static func main() {} }
