//! The messages of an ONNX file, as far as they are read or written here.
//!
//! Numbers are those of `onnx.proto3`; fields that are not listed are skipped when a file is read.

/// A whole file.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Model {
    /// Version of the format of the file.
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    /// Program that wrote it.
    #[prost(string, tag = "2")]
    pub producer_name: String,
    /// What it computes.
    #[prost(message, optional, tag = "7")]
    pub graph: Option<Graph>,
    /// Versions of the sets of operators.
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSet>,
    /// Operators that are made of others.
    #[prost(message, repeated, tag = "25")]
    pub functions: Vec<Function>,
}

/// An operator that is made of others.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Function {
    /// Name of the operator.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Names of the tensors it takes.
    #[prost(string, repeated, tag = "4")]
    pub input: Vec<String>,
    /// Names of the tensors it gives.
    #[prost(string, repeated, tag = "5")]
    pub output: Vec<String>,
    /// Names of its options.
    #[prost(string, repeated, tag = "6")]
    pub attribute: Vec<String>,
    /// What it is made of.
    #[prost(message, repeated, tag = "7")]
    pub node: Vec<Node>,
    /// Versions of the sets of operators that it is made of.
    #[prost(message, repeated, tag = "9")]
    pub opset_import: Vec<OperatorSet>,
    /// Set of operators that it belongs to.
    #[prost(string, tag = "10")]
    pub domain: String,
}

/// Version of a set of operators.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OperatorSet {
    /// Empty for ONNX's own.
    #[prost(string, tag = "1")]
    pub domain: String,
    /// Its version.
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// Nodes that give and take named tensors.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Graph {
    /// Operations, in an order in which they can be computed.
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<Node>,
    /// Name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Constants.
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<Tensor>,
    /// Constants of which only some elements are there.
    #[prost(message, repeated, tag = "15")]
    pub sparse_initializer: Vec<Sparse>,
    /// What it takes; in older files the constants, too.
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfo>,
    /// What it gives.
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfo>,
    /// Types of tensors between.
    #[prost(message, repeated, tag = "13")]
    pub value_info: Vec<ValueInfo>,
}

/// An operation.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Node {
    /// Names of the tensors it takes; empty for one that is left out.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// Names of the tensors it gives.
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    /// Name; may be empty.
    #[prost(string, tag = "3")]
    pub name: String,
    /// Operator.
    #[prost(string, tag = "4")]
    pub op_type: String,
    /// Options.
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<Attribute>,
    /// Set of operators; empty for ONNX's own.
    #[prost(string, tag = "7")]
    pub domain: String,
}

/// An option of a node; which field holds it follows from its name.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Attribute {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// A float.
    #[prost(float, optional, tag = "2")]
    pub f: Option<f32>,
    /// An integer.
    #[prost(int64, optional, tag = "3")]
    pub i: Option<i64>,
    /// A text.
    #[prost(bytes = "vec", optional, tag = "4")]
    pub s: Option<Vec<u8>>,
    /// A tensor.
    #[prost(message, optional, tag = "5")]
    pub t: Option<Tensor>,
    /// Floats.
    #[prost(float, repeated, tag = "7")]
    pub floats: Vec<f32>,
    /// Integers.
    #[prost(int64, repeated, tag = "8")]
    pub ints: Vec<i64>,
    /// Which of the fields is used.
    #[prost(int32, tag = "20")]
    pub r#type: i32,
    /// In a function, the name of its option that this is.
    #[prost(string, tag = "21")]
    pub ref_attr_name: String,
}

/// A constant of which only some elements are there: they are not read.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Sparse {
    /// These elements, and its name.
    #[prost(message, optional, tag = "1")]
    pub values: Option<Tensor>,
}

/// A constant: its elements stand in one of several fields, or in a file beside.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Tensor {
    /// Sides.
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    /// Type of the elements.
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    /// Elements of type float.
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    /// Elements of all types of 32 bits and fewer.
    #[prost(int32, repeated, tag = "5")]
    pub int32_data: Vec<i32>,
    /// Elements of type int64.
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    /// Name.
    #[prost(string, tag = "8")]
    pub name: String,
    /// Elements of any type as bytes, little endian.
    #[prost(bytes = "vec", tag = "9")]
    pub raw_data: Vec<u8>,
    /// Elements of type double.
    #[prost(double, repeated, tag = "10")]
    pub double_data: Vec<f64>,
    /// Elements of types uint32 and uint64.
    #[prost(uint64, repeated, tag = "11")]
    pub uint64_data: Vec<u64>,
    /// Where the elements stand in a file beside: `location`, `offset`, `length`.
    #[prost(message, repeated, tag = "13")]
    pub external_data: Vec<Entry>,
    /// 1 if the elements stand in a file beside.
    #[prost(int32, tag = "14")]
    pub data_location: i32,
}

/// A key and its value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Entry {
    /// Key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// Name and type of a tensor.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ValueInfo {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Type.
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<Type>,
}

/// A type.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Type {
    /// That of a tensor.
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorType>,
}

/// The type of a tensor.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorType {
    /// Type of the elements.
    #[prost(int32, tag = "1")]
    pub elem_type: i32,
    /// Sides; none if it is not known how many.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShape>,
}

/// The sides of a tensor.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorShape {
    /// One by one.
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<Dimension>,
}

/// A side of a tensor; neither field stands for one that is not known.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Dimension {
    /// Its length.
    #[prost(int64, optional, tag = "1")]
    pub dim_value: Option<i64>,
    /// The name of a length that is not known.
    #[prost(string, optional, tag = "2")]
    pub dim_param: Option<String>,
}
