//! A table of regions in Apache Parquet.

use super::{ExportError, Part};
use damon_format::SnapshotView;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::data_type::{Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Rows that are kept until they are written: a row group, about 8 MiB.
const ROWS: usize = 1 << 17;

/// Columns of 64 and of 32 bits that every table has, in the order in which they are written.
const WIDE: [&str; 6] = ["start_ns", "end_ns", "sample_us", "aggr_us", "start", "end"];
const NARROW: [&str; 3] = ["target", "max_nr_accesses", "nr_accesses"];

/// Writes a row for each region that is selected, in the order of the trace.
///
/// # Errors
/// When the output fails.
pub fn parquet(part: &Part<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
    let kept = Kept::default();
    let mut table = Table::new(part, kept.clone()).map_err(error)?;
    part.trace.walk_snapshots(part.selection, |snapshot| {
        table.add(snapshot);
        if table.rows() < ROWS {
            return Ok(());
        }
        table.write().map_err(error)?;
        kept.pass_on(out)
    })?;
    table.finish().map_err(error)?;
    Ok(kept.pass_on(out)?)
}

fn error(error: ParquetError) -> io::Error {
    io::Error::other(error)
}

/// What the library has written and is not passed on yet: it asks for an output that could be given to a thread, which ours
/// need not be.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn pass_on(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(&bytes)?;
        bytes.clear();
        Ok(())
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Values of a column that may be absent: those there are, and for each row whether it has one.
#[derive(Debug, Default)]
struct Optional {
    values: Vec<i32>,
    levels: Vec<i16>,
}

impl Optional {
    fn push(&mut self, value: Option<u32>) {
        self.levels.push(i16::from(value.is_some()));
        self.values.extend(value.map(u32::cast_signed));
    }
}

struct Table {
    writer: SerializedFileWriter<Kept>,
    wide: [Vec<i64>; WIDE.len()],
    narrow: [Vec<i32>; NARROW.len()],
    /// Ages, then the probes.
    optional: Vec<Optional>,
}

impl Table {
    fn new(part: &Part<'_>, to: Kept) -> Result<Self, ParquetError> {
        let mut schema = "message regions {".to_owned();
        for name in WIDE {
            // Writing into a text cannot fail.
            let _ok: std::fmt::Result =
                write!(schema, " required int64 {name} (INTEGER(64, false));");
        }
        for name in NARROW {
            let _ok: std::fmt::Result =
                write!(schema, " required int32 {name} (INTEGER(32, false));");
        }
        schema += " optional int32 age (INTEGER(32, false));";
        for probe in 0..part.survey.probes {
            let _ok: std::fmt::Result =
                write!(schema, " optional int32 probe_{probe} (INTEGER(32, false));");
        }
        let schema = Arc::new(parse_message_type(&(schema + " }"))?);
        let info = serde_json::to_string(part.trace.info())
            .map_err(|error| ParquetError::External(error.into()))?;
        let mut properties = WriterProperties::builder()
            .set_created_by(format!("damon-report {}", env!("CARGO_PKG_VERSION")))
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_key_value_metadata(Some(vec![
                KeyValue::new("damon.format".to_owned(), "1".to_owned()),
                KeyValue::new("damon.recording".to_owned(), info),
            ]));
        // These ascend, or nearly so; everything else has few different values.
        for name in ["start_ns", "end_ns", "start", "end"] {
            properties = properties
                .set_column_dictionary_enabled(ColumnPath::from(name), false)
                .set_column_encoding(ColumnPath::from(name), Encoding::DELTA_BINARY_PACKED);
        }
        let writer = SerializedFileWriter::new(to, schema, Arc::new(properties.build()))?;
        let mut optional = Vec::new();
        optional.resize_with(part.survey.probes + 1, Optional::default);
        Ok(Self { writer, wide: Default::default(), narrow: Default::default(), optional })
    }

    fn rows(&self) -> usize {
        self.wide.first().map_or(0, Vec::len)
    }

    fn add(&mut self, snapshot: &SnapshotView<'_>) {
        let sampling = snapshot.sampling;
        for (index, region) in snapshot.regions().enumerate() {
            let wide = [
                snapshot.start_ns,
                snapshot.end_ns,
                sampling.sample_us,
                sampling.aggr_us,
                region.start,
                region.end,
            ];
            for (column, value) in self.wide.iter_mut().zip(wide) {
                column.push(value.cast_signed());
            }
            let narrow = [snapshot.target.0, sampling.max_nr_accesses, region.nr_accesses];
            for (column, value) in self.narrow.iter_mut().zip(narrow) {
                column.push(value.cast_signed());
            }
            let age = snapshot.ages.map(|_| region.age);
            for (place, column) in self.optional.iter_mut().enumerate() {
                let probe = |place: usize| snapshot.probes.get(place)?.get(index).copied();
                column.push(place.checked_sub(1).map_or(age, probe));
            }
        }
    }

    /// Writes the rows there are as a row group.
    fn write(&mut self) -> Result<(), ParquetError> {
        let mut group = self.writer.next_row_group()?;
        for column in &mut self.wide {
            next(&mut group, |writer| {
                writer.typed::<Int64Type>().write_batch(column, None, None).map(drop)
            })?;
            column.clear();
        }
        for column in &mut self.narrow {
            next(&mut group, |writer| {
                writer.typed::<Int32Type>().write_batch(column, None, None).map(drop)
            })?;
            column.clear();
        }
        for Optional { values, levels } in &mut self.optional {
            next(&mut group, |writer| {
                writer.typed::<Int32Type>().write_batch(values, Some(levels), None).map(drop)
            })?;
            values.clear();
            levels.clear();
        }
        group.close()?;
        Ok(())
    }

    fn finish(mut self) -> Result<(), ParquetError> {
        if self.rows() > 0 {
            self.write()?;
        }
        self.writer.close()?;
        Ok(())
    }
}

fn next(
    group: &mut SerializedRowGroupWriter<'_, Kept>,
    write: impl FnOnce(
        &mut parquet::file::writer::SerializedColumnWriter<'_>,
    ) -> Result<(), ParquetError>,
) -> Result<(), ParquetError> {
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("the schema has fewer columns than the table".into()));
    };
    write(&mut column)?;
    column.close()
}
