//! tmp
fn main() {
    let mut s = 0.0;
    let t = std::time::Instant::now();
    for i in 0..10_000_000u32 {
        let x = (i % 1000) as f64 / 200.0 - 1.0;
        s += libm::erfc(x);
    }
    println!("{s} {:?} per 1e7 erfc", t.elapsed());
}
